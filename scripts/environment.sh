# Sourced by the scripts beside it: makes .venv in the checkout and installs the package into it.
# PYTHON names the interpreter that makes the environment; python3 if unset.

install_into_venv() {  # CHECKOUT EXTRAS
  local checkout=$1 extras=$2
  local python=$checkout/.venv/bin/python
  if [ ! -x "$python" ]; then
    "${PYTHON:-python3}" -m venv "$checkout/.venv"
    "$python" -m pip install --quiet --upgrade pip
  fi
  # TensorFlow first: the ops are compiled against the one that is there.
  "$python" -m pip install --quiet "tensorflow>=2.20,<2.22"
  "$python" -m pip install --quiet --editable "$checkout[$extras]"
}

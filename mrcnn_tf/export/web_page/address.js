// Opened as a file, a page can load neither its modules nor its model; this script still runs.
if (location.protocol === "file:") {
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("status").hidden = true;
    const error = document.getElementById("error");
    error.hidden = false;
    error.textContent =
      "Browsers load no model from a file: serve this folder, for instance by " +
      "python -m http.server in it, and open http://localhost:8000.";
  });
}

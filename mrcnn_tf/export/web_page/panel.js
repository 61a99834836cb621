// The controls beside the picture, and what they leave of the detections.

const find = (id) => document.getElementById(id);

export class Panel {
  /**
   * @param {object} labels of detector.json
   * @param {() => void} onChange called when something else is to be drawn
   */
  constructor(labels, onChange) {
    this.hidden = new Set(); // classes that are not to be seen
    this.detections = [];
    this.onChange = onChange;
    find("joints-layer").hidden = !labels.keypoint_names && !labels.keypoint_skeleton;
    find("score").addEventListener("input", () => this.change());
    for (const input of document.querySelectorAll("#layers input")) {
      input.addEventListener("change", onChange);
    }
    find("classes").addEventListener("change", ({ target }) => {
      if (target.checked) this.hidden.delete(Number(target.value));
      else this.hidden.add(Number(target.value));
      this.change();
    });
    find("all-classes").addEventListener("click", () => this.setAll(true));
    find("no-classes").addEventListener("click", () => this.setAll(false));
    this.change();
  }

  /** What is drawn: masks, boxes, joints, names. */
  get layers() {
    const inputs = document.querySelectorAll("#layers input");
    return Object.fromEntries(Array.from(inputs, (input) => [input.name, input.checked]));
  }

  /** The detections that are sure enough and of a class that is not hidden. */
  get shown() {
    return this.detections.filter(
      (found) => found.score >= this.leastScore && !this.hidden.has(found.class),
    );
  }

  get leastScore() {
    return Number(find("score").value);
  }

  show(detections) {
    this.detections = detections;
    this.change();
  }

  setAll(isShown) {
    if (isShown) this.hidden.clear();
    else for (const { class: index } of this.detections) this.hidden.add(index);
    this.change();
  }

  change() {
    find("score-value").textContent = this.leastScore.toFixed(2);
    this.listClasses();
    if (find("list").open) this.listShown();
    this.onChange();
  }

  /** The classes of the picture with their counts, and those that are hidden. */
  listClasses() {
    const counts = new Map();
    const names = new Map();
    for (const { class: index, name, score } of this.detections) {
      names.set(index, name);
      counts.set(index, (counts.get(index) ?? 0) + (score >= this.leastScore ? 1 : 0));
    }
    const seen = [...names.keys()]
      .filter((index) => counts.get(index) || this.hidden.has(index))
      .sort((one, other) => one - other);
    const list = find("classes");
    const focused = document.activeElement?.closest("#classes input")?.value;
    list.replaceChildren(
      ...seen.map((index) => {
        const input = Object.assign(document.createElement("input"), {
          type: "checkbox",
          value: index,
          checked: !this.hidden.has(index),
        });
        const count = Object.assign(document.createElement("span"), {
          className: "count",
          textContent: counts.get(index),
        });
        const label = document.createElement("label");
        label.append(input, names.get(index), count);
        return label;
      }),
    );
    list.querySelector(`input[value="${focused}"]`)?.focus(); // lists are made anew at every frame
    find("no-detections").hidden = seen.length > 0;
    find("class-buttons").hidden = seen.length < 2;
  }

  /** The table of what is drawn. */
  listShown() {
    const rows = this.shown.map(({ name, score, box }) => {
      const row = document.createElement("tr");
      const texts = [name, score.toFixed(3), box.map((value) => Math.round(value)).join(", ")];
      for (const textContent of texts) {
        row.append(Object.assign(document.createElement("td"), { textContent }));
      }
      return row;
    });
    find("rows").replaceChildren(...rows);
  }
}

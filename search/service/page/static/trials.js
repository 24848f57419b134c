/** Every trial of a sweep: what the map shows, as a table. */

import { element, fill, inStep } from "./element.js";
import { configuration, duration, nothing, prose, share } from "./words.js";

const COLUMNS = [
  ["Trial", "number"],
  ["Configuration"],
  ["Phase"],
  ["State"],
  ["Objective", "number"],
  ["Test", "number"],
  ["Time", "number"],
  ["Curve"],
];
const AT_ONCE = 50; // each has a button that the keyboard stops at

/** The table; `renew` gives it all trials. */
export class Trials {
  /** @param {(number: number) => void} choose called with the number of a trial whose curve is wanted */
  constructor(choose) {
    this.choose = choose;
    this.shown = AT_ONCE;
    this.trials = [];
    this.rows = element("tbody");
    this.more = element("button", { type: "button", class: "button", hidden: true, click: () => this.showMore() });
    this.table = element(
      "table",
      {},
      element("caption", { class: "unseen" }, "Trials, newest first"),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          COLUMNS.map(([name, kind]) => element("th", { scope: "col", class: kind }, name)),
        ),
      ),
      this.rows,
    );
    this.scroll = element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Trials" },
      this.table,
    );
    this.nothing = element("p", { class: "soft" });
    this.node = element("div", {}, this.scroll, this.nothing, this.more);
  }

  /** @param {Array} trials @param {?number} chosen the trial whose curve is shown @param {string} state of the sweep */
  renew(trials, chosen, state) {
    Object.assign(this, { trials, chosen, state });
    const newest = [...trials].reverse().slice(0, this.shown);
    inStep(
      this.rows,
      newest,
      (trial) => trial.number,
      (trial) => this.newRow(trial),
      (row, trial) => renewRow(row, trial, chosen),
    );
    this.scroll.hidden = trials.length === 0;
    this.nothing.hidden = trials.length > 0;
    fill(this.nothing, nothing("No trial has begun", state));
    this.more.hidden = trials.length <= this.shown;
    this.more.textContent = `Show ${trials.length - this.shown} older trials`;
  }

  showMore() {
    const before = this.shown;
    this.shown = Infinity;
    this.renew(this.trials, this.chosen, this.state);
    this.rows.children[before].querySelector("button").focus(); // the button that was pressed is gone
  }

  newRow(trial) {
    const button = element(
      "button",
      {
        type: "button",
        class: "small",
        "aria-label": `Show the curve of trial ${trial.number}`,
        click: () => this.choose(trial.number),
      },
      "show",
    );
    const cells = COLUMNS.slice(1, -1).map(([, kind]) => element("td", { class: kind }));
    return element(
      "tr",
      {},
      element("th", { scope: "row", class: "number" }, String(trial.number)),
      cells,
      element("td", {}, button),
    );
  }
}

function renewRow(row, trial, chosen) {
  const [, named, phase, state, objective, test, time, curve] = row.children;
  fill(named, configuration(trial.supervision, trial.hyperparameters));
  fill(phase, trial.phase);
  fill(state, trial.state, trial.reason ? element("span", { class: "beneath" }, prose(trial.reason)) : null);
  fill(objective, share(trial.objective));
  fill(test, share(trial.test_accuracy));
  fill(time, trial.train_seconds === null ? "–" : duration(trial.train_seconds));
  row.className = trial.number === chosen ? "chosen" : "";
  curve.firstElementChild.disabled = trial.state === "waiting" && trial.started_at === null;
  curve.firstElementChild.setAttribute("aria-pressed", String(trial.number === chosen));
}

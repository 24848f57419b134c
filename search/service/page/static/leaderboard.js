/** The best configurations of a sweep beside the CCE baseline. */

import { element, fill, inStep } from "./element.js";
import { configuration, nothing, objectiveName, share } from "./words.js";

const MARKS = { baseline: "baseline", defaults: "the supervision's own defaults" };

/** The leader board; `renew` gives it rows of the API. */
export class Leaderboard {
  constructor() {
    this.measure = element("th", { scope: "col", class: "number" });
    this.rows = element("tbody");
    this.table = element(
      "table",
      {},
      element("caption", { class: "unseen" }, "Leader board: the best configurations and the CCE baseline"),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          element("th", { scope: "col", class: "number" }, "#"),
          element("th", { scope: "col" }, "Configuration"),
          this.measure,
          element("th", { scope: "col", class: "number" }, "Test"),
        ),
      ),
      this.rows,
    );
    this.nothing = element("p", { class: "soft" });
    this.node = element("div", { class: "leaderboard" }, this.table, this.nothing);
    this.renew([], null);
  }

  /** @param {Array} items @param {?string} state of the sweep */
  renew(items, state) {
    this.table.hidden = items.length === 0;
    fill(this.nothing, nothing("No configuration has finished", state));
    this.nothing.hidden = items.length > 0;
    if (items.length) fill(this.measure, objectiveName(items[0].objective.name));
    inStep(
      this.rows,
      items,
      (row) => `${row.mark === "baseline"} ${row.mark === "defaults"} ${row.rank}`,
      () =>
        element(
          "tr",
          {},
          element("td", { class: "number" }),
          element("th", { scope: "row" }),
          element("td", { class: "number" }),
          element("td", { class: "number" }),
        ),
      renewRow,
    );
  }
}

function renewRow(tr, row) {
  const [rank, named, objective, test] = tr.children;
  tr.className = row.mark;
  fill(rank, row.rank === null ? "–" : String(row.rank));
  fill(named, configuration(row.supervision, row.hyperparameters), noteOf(row));
  fill(objective, ...estimate(row.objective));
  fill(test, ...estimate(row.test_accuracy));
}

function noteOf(row) {
  const repeated = row.objective.n > 1;
  const seeds = repeated ? `${row.objective.n} ${row.confirmed ? "fresh seeds" : "seeds"}` : "";
  // With one seed nothing can be told apart from anything, which is not worth saying of each.
  const mark = {
    ...MARKS,
    recommended: row.confirmed ? "recommended" : "best so far",
    tie: repeated ? "tied with the best" : "",
  }[row.mark];
  const words = [mark, seeds].filter(Boolean).join(", ");
  return words ? element("span", { class: "beneath" }, words) : null;
}

function estimate(value) {
  if (value === null) return ["–"];
  return [share(value.mean), value.sem ? element("span", { class: "beneath" }, `± ${share(value.sem)}`) : null];
}

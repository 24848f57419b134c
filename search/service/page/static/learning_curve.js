/** The accuracies of one trial over its epochs. */

import { read, sweepPath } from "./api.js";
import { drawn, element, fill } from "./element.js";
import { axes, fitted } from "./plot.js";
import { limits, scale } from "./scale.js";
import { configuration, nothing, share } from "./words.js";

const LINES = [
  ["intact_train_accuracy", "intact training labels", "intact"],
  ["validation_accuracy", "validation", "validation"],
  ["test_accuracy", "test", "test"],
  ["corrupted_train_accuracy", "labels as trained on", "corrupted"],
];

/** The curve; `show` gives it a trial, again while it trains. */
export class LearningCurve {
  /**
   * @param {string} sweepId
   * @param {AbortSignal} signal
   */
  constructor(sweepId, signal) {
    this.sweepId = sweepId;
    this.signal = signal;
    this.title = element("h3", { id: "curve-title" }, "Learning curve");
    this.chart = element("div", { class: "chart" });
    this.legend = element("ul", { class: "legend", "aria-label": "Legend" });
    this.words = element("p", { class: "readout" });
    this.node = element(
      "section",
      { class: "curve", "aria-labelledby": "curve-title", hidden: true },
      this.title,
      this.chart,
      this.legend,
      this.words,
    );
    this.wanted = null;
    this.trial = null; // whose epochs these are, as it was when they were read
    this.epochs = [];
    fitted(this.chart, (width) => this.draw(width), signal);
  }

  async show(trial) {
    this.wanted = trial.number;
    const same = this.trial?.number === trial.number && this.trial.state === trial.state;
    if (same && trial.state !== "running") return;
    const curve = await read(sweepPath(this.sweepId, "trials", trial.number, "epochs"), { signal: this.signal });
    if (this.wanted !== trial.number) return; // another was chosen meanwhile
    this.trial = trial;
    this.epochs = curve.items;
    this.node.hidden = false;
    fill(this.title, `Trial ${trial.number}: ${configuration(trial.supervision, trial.hyperparameters)}`);
    this.draw(this.chart.clientWidth);
  }

  draw(width) {
    const lines = LINES.map(([name, word, kind]) => ({
      word,
      kind,
      points: this.epochs.filter((epoch) => epoch[name] !== null).map((epoch) => [epoch.epoch, epoch[name]]),
    })).filter((line) => line.points.length);
    if (width === 0) return;
    if (lines.length === 0) {
      fill(this.chart);
      fill(this.legend);
      fill(this.words, nothing("No epoch was evaluated", this.trial.state));
      return;
    }
    const frame = { left: 48, right: width - 14, top: 30, bottom: 200 };
    const last = this.epochs[this.epochs.length - 1].epoch;
    const x = scale(0, Math.max(last, 1), frame.left, frame.right, { whole: true });
    const reached = lines.flatMap((line) => line.points.map(([, value]) => value));
    const y = scale(...limits(reached, { floor: 0 }), frame.bottom, frame.top);
    const at = ([epoch, value]) => `${x.place(epoch).toFixed(1)} ${y.place(value).toFixed(1)}`;
    const ends = lines.map((line) => `${line.word} ${share(line.points[line.points.length - 1][1])}`).join(", ");
    fill(
      this.chart,
      drawn(
        "svg",
        {
          width,
          height: 246,
          viewBox: `0 0 ${width} 246`,
          role: "img",
          "aria-label": `Accuracies over ${last} epochs; last: ${ends}.`,
        },
        axes(frame, { scale: x, name: "epoch" }, { scale: y, name: "accuracy" }),
        lines.map((line) => drawn("path", { d: `M${line.points.map(at).join("L")}`, class: `line ${line.kind}` })),
        lines.map((line) => {
          const [epoch, value] = line.points[line.points.length - 1];
          return drawn("circle", { cx: x.place(epoch), cy: y.place(value), r: 3.5, class: `end ${line.kind}` });
        }),
      ),
    );
    fill(this.legend, ...lines.map((line) => element("li", {}, key(line.kind), line.word)));
    fill(this.words, `Last evaluation: ${ends}.`);
  }
}

function key(kind) {
  return drawn(
    "svg",
    { viewBox: "0 0 26 10", width: 26, height: 10, "aria-hidden": "true" },
    drawn("path", { d: "M1 5H25", class: `line ${kind}` }),
  );
}

/** The objective over what is searched: of gr the (λ, β) map, while it fills and afterwards. */

import { colour, STOPS } from "./colours.js";
import { drawn, element, fill } from "./element.js";
import { axes, fitted } from "./plot.js";
import { limits, scale } from "./scale.js";
import { configuration, nothing, objectiveName, prose, share, symbol } from "./words.js";

const STAR = "M0.0 -11.0L2.7 -3.7L10.5 -3.4L4.4 1.4L6.5 8.9L0.0 4.6L-6.5 8.9L-4.4 1.4L-10.5 -3.4L-2.7 -3.7Z";
const MEANINGS = { lambda: "λ, emphasis focus", beta: "β, emphasis spread" };

/** The map; `renew` gives it a sweep and all its trials. */
export class ObjectiveMap {
  /**
   * @param {(number: number) => void} choose called with the number of a trial whose point is chosen
   * @param {AbortSignal} signal
   */
  constructor(choose, signal) {
    this.choose = choose;
    this.chart = element("div", { class: "chart" });
    this.legend = element("ul", { class: "legend", "aria-label": "Legend" });
    this.words = element("p", { class: "readout" });
    this.node = element("div", { class: "map" }, this.chart, this.legend, this.words);
    this.sweep = null;
    fitted(this.chart, (width) => this.draw(width), signal);
  }

  renew(sweep, trials) {
    this.sweep = sweep;
    this.points = pointsOf(sweep, trials);
    this.axes = axesOf(sweep, this.points);
    this.draw(this.chart.clientWidth);
  }

  draw(width) {
    if (this.sweep === null || width === 0) return;
    const { across, upwards } = this.axes;
    if (across === undefined) {
      fill(this.chart);
      fill(this.legend);
      fill(
        this.words,
        this.points.length
          ? "What is searched is no number: see the trials below."
          : nothing("No trial has begun", this.sweep.state),
      );
      return;
    }
    const placed = this.points.filter((point) => across.of(point) !== undefined && upwards.of(point) !== undefined);
    const frame = {
      left: 48,
      right: width - (upwards.measured ? 14 : 80),
      top: 30,
      bottom: Math.min(Math.max(0.72 * width, 300), 470) - 46,
    };
    const x = scale(...across.limits, frame.left, frame.right, across);
    const y = scale(...upwards.limits, frame.bottom, frame.top, upwards);
    const tint = tints(placed, this.sweep);
    const best = placed.find((point) => isBest(point, this.sweep.best));
    const marks = [...placed]
      .sort((one, other) => rank(one, best) - rank(other, best))
      .map((point) => {
        const place = `translate(${x.place(across.of(point)).toFixed(1)} ${y.place(upwards.of(point)).toFixed(1)})`;
        const mark = drawn(
          "g",
          { transform: place, class: "point", "data-trial": point.trial },
          markOf(point, point === best, tint),
        );
        mark.addEventListener("pointerenter", () => this.say(point));
        mark.addEventListener("pointerleave", () => this.say(best));
        mark.addEventListener("click", () => this.choose(point.trial));
        return mark;
      });
    fill(
      this.chart,
      drawn(
        "svg",
        {
          width,
          height: frame.bottom + 46,
          viewBox: `0 0 ${width} ${frame.bottom + 46}`,
          role: "img",
          "aria-label": this.summary(placed, best),
        },
        axes(frame, { scale: x, name: across.name }, { scale: y, name: upwards.name }),
        upwards.measured ? baselineAcross(frame, y, this.sweep) : colourBar(frame, width, tint, this.sweep),
        drawn("g", {}, marks),
      ),
    );
    fill(this.legend, ...legend(placed, best));
    this.say(best);
  }

  say(point) {
    const { supervision } = this.sweep;
    if (!point) fill(this.words, nothing("No configuration has finished", this.sweep.state));
    else {
      const named = element("strong", {}, configuration(supervision, point.hyperparameters));
      fill(this.words, named, ": ", ...prose(told(point)));
    }
  }

  summary(placed, best) {
    const { across, upwards } = this.axes;
    const finished = placed.filter((point) => point.objective !== null).length;
    const what = `Map of ${this.objective()} over ${across.name} and ${upwards.name}`;
    const count = `${finished} configurations have finished`;
    const led = best
      ? ` Best: ${configuration(this.sweep.supervision, best.hyperparameters)}, ${share(best.objective)}.`
      : "";
    return `${what}: ${count}.${led} The table of trials has the same numbers.`;
  }

  objective() {
    return objectiveName(this.sweep.best?.objective_name || "objective");
  }
}

/** One point a configuration of what is searched, on the search's seeds. */
function pointsOf(sweep, trials) {
  const points = new Map();
  for (const trial of trials) {
    if (trial.phase === "baseline" || trial.supervision !== sweep.supervision) continue;
    const point = points.get(trial.configuration) || { hyperparameters: trial.hyperparameters, trials: [] };
    points.set(trial.configuration, point);
    point.trials.push(trial);
  }
  return [...points.values()].map((point) => {
    const searched = point.trials.filter((trial) => trial.phase === "search");
    const counted = searched.length ? searched : point.trials;
    const done = counted.filter((trial) => trial.state === "done" && trial.objective !== null);
    return {
      ...point,
      trial: (done[0] || counted[0]).number,
      running: point.trials.some((trial) => trial.state === "running"),
      failed: counted.every((trial) => trial.state === "failed"),
      pruned: done.length === 0 && counted.some((trial) => trial.state === "pruned"),
      objective: done.length ? done.reduce((sum, trial) => sum + trial.objective, 0) / done.length : null,
      seeds: done.length,
    };
  });
}

/** What lies across and what upwards: the first two numbers that were searched, or the objective upwards. */
function axesOf(sweep, points) {
  const names = [...new Set(points.flatMap((point) => Object.keys(point.hyperparameters)))];
  const numbers = names.filter((name) => {
    const values = points.map((point) => point.hyperparameters[name]).filter((value) => value !== undefined);
    return (
      values.every((value) => typeof value === "number") && (new Set(values).size > 1 || sweep.supervision === "gr")
    );
  });
  if (sweep.supervision === "gr") numbers.sort((one, other) => (other === "lambda") - (one === "lambda"));
  if (numbers.length === 0) return {};
  const [first, second] = numbers.map((name) => axisOf(sweep, points, name));
  return { across: first, upwards: second || objectiveAxis(sweep, points) };
}

function axisOf(sweep, points, name) {
  const dimensions = sweep.spec.space?.dimensions || {};
  const of = (point) => point.hyperparameters[name];
  const values = points.map(of).filter((value) => value !== undefined);
  const log = Boolean(dimensions[name]?.log) && values.every((value) => value > 0);
  const floor = values.every((value) => value >= 0) && !log ? 0 : -Infinity;
  const title = (sweep.supervision === "gr" && MEANINGS[name]) || symbol(sweep.supervision, name);
  return { name: title, of, log, limits: limits([...values, ...bounds(sweep, name)], { log, floor }) };
}

/** Where the space says that it ends, so that the map does not grow while it fills. */
function bounds(sweep, name) {
  const range = sweep.spec.space?.[{ lambda: "lam" }[name] || name];
  return sweep.spec.space?.kind !== "grid" && Array.isArray(range) && range.every(Number.isFinite) ? range : [];
}

function objectiveAxis(sweep, points) {
  const reached = [...points.map((point) => point.objective), sweep.baseline_objective].filter(
    (value) => value !== null,
  );
  const around = limits(reached.length ? reached : [0, 1]);
  const of = (point) => point.objective ?? around[0]; // what has no result yet lies on the axis
  return { name: objectiveName(sweep.best?.objective_name || "objective"), of, measured: true, limits: around };
}

/** Colours: what is clearly below CCE shares the darkest, so that collapsed trials leave the others theirs. */
function tints(points, sweep) {
  const reached = points
    .map((point) => point.objective)
    .filter((value) => value !== null)
    .sort((one, other) => one - other);
  if (reached.length === 0) return { low: 0, high: 1, any: false };
  const high = reached[reached.length - 1];
  const baseline = sweep.baseline_objective;
  const middle = (reached[Math.floor((reached.length - 1) / 2)] + reached[Math.floor(reached.length / 2)]) / 2;
  const lowest = baseline === null ? reached[0] : Math.min(middle, baseline);
  // Where all are equal, they have the colour of the best.
  const low = Math.max(Math.min(lowest - 0.08 * (high - lowest), high - 0.01), 0);
  return { low, high: Math.max(high, low + 0.01), any: true };
}

function markOf(point, best, tint) {
  const parts = [drawn("circle", { r: 14, class: "reach" })];
  if (point.objective === null && point.failed)
    return [...parts, drawn("path", { d: "M-5-5l10 10M5-5l-10 10", class: "failed" })];
  if (point.objective === null && point.pruned)
    return [...parts, drawn("path", { d: "M0-6v6M0 0l-5 4M0 0l5 4", class: "pruned" })];
  if (point.objective === null)
    return [...parts, drawn("circle", { r: 6.5, class: point.running ? "running" : "waiting" })];
  const fillColour = colour((point.objective - tint.low) / (tint.high - tint.low));
  if (point.running) parts.push(drawn("circle", { r: 10.5, class: "running" }));
  parts.push(
    best
      ? drawn("path", { d: STAR, fill: fillColour, class: "best" })
      : drawn("circle", { r: 6.5, fill: fillColour, class: "done" }),
  );
  return parts;
}

function rank(point, best) {
  return point === best ? 2 : point.objective === null ? 0 : 1;
}

function isBest(point, best) {
  if (!best || point.objective === null) return false;
  return Object.entries(best.hyperparameters).every(([name, value]) => point.hyperparameters[name] === value);
}

function told(point) {
  if (point.objective !== null) {
    const seeds = point.seeds > 1 ? `, ${point.seeds} seeds` : "";
    return `${share(point.objective)} in the search${seeds}${point.running ? ", being confirmed" : ""}`;
  }
  if (point.failed) return `failed: ${point.trials[0].reason || "no reason was noted"}`;
  return point.pruned ? "stopped early" : point.running ? "running" : "waiting";
}

function baselineAcross(frame, y, sweep) {
  if (sweep.baseline_objective === null) return drawn("g");
  const at = y.place(sweep.baseline_objective);
  return drawn(
    "g",
    {},
    drawn("line", { x1: frame.left, x2: frame.right, y1: at, y2: at, class: "cce" }),
    drawn(
      "text",
      { x: frame.right, y: at - 7, "text-anchor": "end", class: "cce" },
      `CCE ${share(sweep.baseline_objective)}`,
    ),
  );
}

function colourBar(frame, width, tint, sweep) {
  if (!tint.any) return drawn("g");
  const left = frame.right + 22;
  const place = scale(tint.low, tint.high, frame.bottom, frame.top);
  const stops = STOPS.map(([offset, colour]) => drawn("stop", { offset, "stop-color": colour }));
  const baseline = sweep.baseline_objective;
  const marked = baseline !== null;
  const above = marked && baseline > tint.high;
  const height = place.place(Math.min(baseline, tint.high));
  const clear = (tick) => !marked || Math.abs(place.place(tick) - height) > (above ? 27 : 13);
  return drawn(
    "g",
    { class: "bar" },
    drawn("defs", {}, drawn("linearGradient", { id: "viridis", x1: 0, x2: 0, y1: 1, y2: 0 }, stops)),
    drawn("rect", { x: left, y: frame.top, width: 10, height: frame.bottom - frame.top, rx: 2, fill: "url(#viridis)" }),
    place.ticks.filter(clear).map((tick) => drawn("text", { x: left + 15, y: place.place(tick) + 4 }, String(tick))),
    marked
      ? drawn("line", {
          x1: left - 4,
          x2: left + 13,
          y1: height,
          y2: height,
          class: "cce mark",
        })
      : "",
    marked ? drawn("text", { x: left + 15, y: height + 4, class: "cce" }, "CCE") : "",
    above ? drawn("text", { x: left + 15, y: height + 18, class: "cce" }, "above") : "",
    drawn(
      "text",
      { x: width, y: frame.top - 12, "text-anchor": "end", class: "axis-name" },
      objectiveName(sweep.best?.objective_name || "objective"),
    ),
  );
}

function legend(points, best) {
  const has = (test) => points.some(test);
  const entries = [
    [best, "best", drawn("path", { d: STAR, class: "best grey", transform: "scale(0.75)" })],
    [
      has((point) => point.objective !== null && point !== best),
      "finished",
      drawn("circle", { r: 5.5, class: "done grey" }),
    ],
    [has((point) => point.running), "running", drawn("circle", { r: 5.5, class: "running" })],
    [
      has((point) => point.objective === null && !point.running && !point.failed && !point.pruned),
      "waiting",
      drawn("circle", { r: 5.5, class: "waiting" }),
    ],
    [
      has((point) => point.objective === null && point.pruned),
      "stopped early",
      drawn("path", { d: "M0-6v6M0 0l-5 4M0 0l5 4", class: "pruned" }),
    ],
    [
      has((point) => point.objective === null && point.failed),
      "failed",
      drawn("path", { d: "M-5-5l10 10M5-5l-10 10", class: "failed" }),
    ],
  ];
  return entries
    .filter(([shown]) => shown)
    .map(([, word, mark]) =>
      element(
        "li",
        {},
        drawn("svg", { viewBox: "-9 -9 18 18", width: 18, height: 18, "aria-hidden": "true" }, mark),
        word,
      ),
    );
}

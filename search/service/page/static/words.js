/** How values are written for a reader, the same as in the commands' output. */

import { drawn, element } from "./element.js";

const SYMBOLS = { beta: "β", lambda: "λ", lam: "λ" };
const SHARES = { intact_train_accuracy: "intact accuracy", test_accuracy: "test accuracy" };

/** A number with four digits. */
export function number(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
}

/** An accuracy. */
export function share(value) {
  return value === null || value === undefined ? "–" : value.toFixed(3);
}

/** A difference of two accuracies, with its sign. */
export function gain(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}

/** The name of a hyper-parameter; those of gr are Greek, as in the paper. */
export function symbol(supervision, name) {
  return (supervision === "gr" && SYMBOLS[name]) || name;
}

/** A configuration: `β = 12, λ = 0.5`, `gce, q = 0.7`, `cce`. */
export function configuration(supervision, hyperparameters) {
  const values = Object.entries(hyperparameters).map(
    ([name, value]) => `${symbol(supervision, name)} = ${number(value)}`,
  );
  return (supervision === "gr" && values.length ? values : [supervision, ...values]).join(", ");
}

/** The name of an objective. */
export function objectiveName(name) {
  return SHARES[name] || name.replaceAll("_", " ");
}

/** A sentence of the service; what stands in backticks is code. */
export function prose(text) {
  return text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
}

// Of a sweep or a trial: nothing more will come of it.
const OVER = ["done", "failed", "pruned", "cancelled"];

/** That something is not there, by the state of what it would be of. */
export function nothing(text, state) {
  return `${text}${OVER.includes(state) ? "" : " yet"}.`;
}

/** What a sweep is, as text. */
export function about(sweep) {
  return sweep.dataset + noise(sweep);
}

/** What a sweep is, for a heading: whichever way its name is written, the rest reads from left to right. */
export function titled(sweep) {
  return [element("bdi", {}, sweep.dataset), noise(sweep)];
}

/** A moment, as how long ago it was; the moment itself is in the element. */
export function moment(iso) {
  if (!iso) return element("span", {}, "–");
  const at = new Date(iso);
  return element("time", { datetime: iso, title: at.toLocaleString() }, ago((Date.now() - at) / 1000));
}

/** A moment as a log has it. */
export function clock(iso) {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  const text = today
    ? at.toLocaleTimeString()
    : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  return element("time", { datetime: iso, title: at.toLocaleString() }, text);
}

/** A time span: `48 s`, `3 min`, `2.4 h`. */
export function duration(seconds) {
  if (seconds < 60) return `${number(Math.round(seconds * 10) / 10)} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// That noise is symmetric goes without saying.
function noise({ noise_rate: rate, noise_model: model }) {
  const how = { symmetric: "", none: " (labels as given)" }[model] ?? ` (${model})`;
  return `, ${rate === null ? "unknown noise rate" : `noise rate ${number(rate)}`}${how}`;
}

function ago(seconds) {
  const units = [
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
  ];
  const [unit, length] = units.find(([, each]) => seconds >= each) || ["second", 1];
  if (unit === "second") return "just now";
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.floor(seconds / length), unit);
}

// Drawn in a 12 by 12 square; a state is told by its shape and word, its colour only helps.
const SHAPES = {
  queued: "M6 1.500a4.500 4.500 0 1 0 .01 0zM6 3.700v2.500l1.700 1",
  running: "M4 2.500l5.500 3.500l-5.500 3.500z",
  pausing: "M4.200 3v6M7.800 3v6",
  paused: "M4.200 3v6M7.800 3v6",
  cancelling: "M3.200 3.200l5.600 5.600M8.800 3.200l-5.600 5.600",
  cancelled: "M2.500 9.500l7-7",
  done: "M2.500 6.500l2.500 2.500l4.700-5.500",
  failed: "M3.200 3.200l5.600 5.600M8.800 3.200l-5.600 5.600",
};

/** A state with its sign. */
export function stateBadge(state) {
  const shape = drawn("path", { d: SHAPES[state] || "", class: state === "running" ? "solid" : "line" });
  return element(
    "span",
    { class: `state state-${state}` },
    drawn("svg", { viewBox: "0 0 12 12", width: "12", height: "12", "aria-hidden": "true" }, shape),
    state,
  );
}

/** How many of the trials are over, as a bar and in words. */
export function progressBar(sweep, details = false) {
  const { done, failed, pruned, running, planned } = sweep.progress;
  const finished = done + failed + pruned;
  const words = [`${finished} of ${planned}`];
  if (details && running) words.push(`${running} running`);
  if (failed) words.push(`${failed} failed`);
  if (details && pruned) words.push(`${pruned} stopped early`);
  return element(
    "span",
    { class: "progress" },
    element("progress", { max: Math.max(planned, 1), value: finished, "aria-label": "Trials finished" }),
    element("span", { class: "progress-words" }, words.join(", ")),
  );
}

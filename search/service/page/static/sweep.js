/** One sweep: where it stands, what it has found, how it came there. */

import { Actions } from "./actions.js";
import { address, read, sweepPath } from "./api.js";
import { announce, element, fill } from "./element.js";
import { Leaderboard } from "./leaderboard.js";
import { KnownTrials } from "./known_trials.js";
import { LearningCurve } from "./learning_curve.js";
import { repeat } from "./live.js";
import { Log } from "./log.js";
import { ObjectiveMap } from "./objective_map.js";
import { Trials } from "./trials.js";
import {
  about,
  configuration,
  duration,
  gain,
  moment,
  number,
  objectiveName,
  progressBar,
  prose,
  share,
  stateBadge,
  symbol,
  titled,
} from "./words.js";

const SECONDS = 5; // without an event: the learning curve of a running trial grows, a worker may come
const SECONDS_ENDED = 30; // somebody may resume or delete it
const AT_MOST_EVERY = 700; // ms, however many events there are; and for each trial that is shown
const A_TRIAL = 3; // ms
const ENDED = ["done", "failed", "cancelled"];
const STOPPED = [...ENDED, "paused"];

/**
 * Show one sweep.
 *
 * @param {Element} view
 * @param {string} id
 * @param {AbortSignal} leaving aborted when the view is left
 */
export function showSweep(view, id, leaving) {
  const gone = new AbortController();
  const signal = AbortSignal.any([leaving, gone.signal]);
  const heading = element("h1", {}, "Sweep");
  const state = element("p", { class: "standing" });
  const progress = element("div", { class: "overall" });
  const found = element("dl", { class: "found-strip" });
  const links = element("p", { class: "links" });
  const shortfall = element("p", { class: "soft", hidden: true });
  const figures = card("Figures");
  figures.hidden = true;
  const settings = element("dl", { class: "settings" });
  const spec = element("pre", { tabindex: "0", "aria-label": "Specification" });

  let sweep = null;
  let rows = [];
  let seen = ""; // up to what trials and leader board were read
  let chosen = null;

  const actions = new Actions(id, (verb) => {
    if (verb === "delete") location.hash = "#/";
    else renew();
  });
  const choose = async (trialNumber) => {
    chosen = trialNumber;
    try {
      await showChosen();
    } catch {
      if (!signal.aborted) renew(); // which says what is wrong, and tries again
      return;
    }
    if (curve.trial?.number !== trialNumber) return; // it has not begun, or another was chosen meanwhile
    curve.node.scrollIntoView({ block: "nearest" });
    announce(`Learning curve of ${curve.title.textContent}`);
  };
  const trials = new KnownTrials(id, signal);
  const log = new Log(id, happened, signal);
  const map = new ObjectiveMap(choose, signal);
  const curve = new LearningCurve(id, signal);
  const board = new Leaderboard();
  const table = new Trials(choose);

  view.append(
    element(
      "nav",
      { class: "trail", "aria-label": "Breadcrumb" },
      element("a", { href: "#/" }, "Sweeps"),
      " / ",
      element("span", { class: "id" }, id),
    ),
    element("div", { class: "heading" }, heading, actions.node),
    state,
    progress,
    found,
    links,
    shortfall,
    element(
      "div",
      { class: "columns stacked" },
      card("Map", map.node, curve.node),
      card("Leader board", board.node),
      card("Log", log.node),
    ),
    card("Trials", table.node),
    figures,
    element(
      "details",
      { class: "card" },
      element("summary", {}, element("h2", {}, "What was asked for")),
      settings,
      spec,
    ),
  );

  const renew = repeat(
    async () => {
      const now = await read(sweepPath(id), { signal }).catch(left);
      const newest = JSON.stringify([now.last_event, now.progress]);
      const changed = newest !== seen;
      if (changed) {
        await trials.renew(now.progress);
        rows = await read(sweepPath(id, "leaderboard"), { signal });
        seen = newest;
      }
      tell(sweep, now);
      sweep = now;
      showStanding();
      if (changed) showFound();
      await Promise.all([showChosen(), showFigures()]);
    },
    () => (ENDED.includes(sweep.state) && log.has(sweep.last_event) ? SECONDS_ENDED : Math.max(SECONDS, rest() / 1000)),
    signal,
  );

  /** Where there is no such sweep, say so in place of everything, and stop asking. */
  function left(problem) {
    // The answer may come once another view is there: that of all sweeps, when this one was deleted here.
    if (problem.status === 404 && !signal.aborted) {
      gone.abort();
      view.replaceChildren(
        element("div", { class: "heading" }, element("h1", {}, "No such sweep")),
        element("p", { role: "alert" }, prose(problem.message)),
        element("p", {}, element("a", { class: "button", href: "#/" }, "All sweeps")),
      );
      document.title = "No such sweep – Emphasis";
    }
    throw problem;
  }

  let waiting = false;
  function happened() {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      if (!signal.aborted) renew();
    }, rest());
  }

  function rest() {
    return AT_MOST_EVERY + A_TRIAL * trials.items.length;
  }

  function showStanding() {
    fill(heading, ...titled(sweep));
    document.title = `${about(sweep)}: ${sweep.state} – Emphasis`;
    fill(
      state,
      stateBadge(sweep.state),
      element("span", {}, standing(sweep)),
      sweep.notes.map((note) => element("span", { class: "note" }, prose(note))),
    );
    fill(progress, progressBar(sweep, true));
    fill(found, ...foundStrip(sweep));
    fill(links, ...linksOf(sweep));
    fill(settings, ...settingsOf(sweep));
    fill(spec, JSON.stringify(sweep.spec, null, 2));
    actions.renew(sweep.state);
    // Again, where it was resumed, or the service could not answer before all was told.
    if (!STOPPED.includes(sweep.state) || !log.has(sweep.last_event)) log.follow(sweep.last_event);
  }

  function showFound() {
    board.renew(rows, sweep.state);
    map.renew(sweep, trials.items);
    fill(shortfall, trials.shortfall);
    shortfall.hidden = trials.shortfall === "";
  }

  async function showChosen() {
    const trial = trials.items.find((each) => each.number === chosen) || leading(trials.items, sweep);
    table.renew(trials.items, trial?.number, sweep.state);
    if (trial && trial.attempts > 0) await curve.show(trial);
  }

  async function showFigures() {
    if (!ENDED.includes(sweep.state) || !figures.hidden) return;
    const names = await read(sweepPath(id, "figures"), { signal });
    figures.hidden = names.length === 0;
    if (!figures.hidden) figures.append(...gallery(id, names));
  }
}

function card(title, ...content) {
  const id = `card-${title.toLowerCase().replaceAll(" ", "-")}`;
  return element("section", { class: "card", "aria-labelledby": id }, element("h2", { id }, title), content);
}

function tell(before, now) {
  if (before === null) return;
  if (before.state !== now.state) announce(`The sweep is ${now.state}.`);
  else if (now.best && before.best?.objective !== now.best.objective) {
    announce(
      `New best: ${configuration(now.best.supervision, now.best.hyperparameters)}, ${share(now.best.objective)}.`,
    );
  }
}

function standing(sweep) {
  const words = [sweep.message, `submitted by ${sweep.submitter}`];
  if (sweep.attended) words.push("run by a person, not by a worker");
  if (sweep.started_at && sweep.finished_at) {
    words.push(`took ${duration((new Date(sweep.finished_at) - new Date(sweep.started_at)) / 1000)}`);
  }
  return [...prose(words.filter(Boolean).join(" · ")), " · ", moment(sweep.created_at)];
}

function foundStrip(sweep) {
  const { best } = sweep;
  if (best === null) return [];
  const measures = [
    ...Object.entries(best.hyperparameters).map(([name, value]) => [
      symbol(best.supervision, name),
      number(value),
      "big",
    ]),
    ...fixedEmphasis(sweep).map(([name, value]) => [`${symbol("gr", name)}, fixed`, number(value), "big"]),
    [objectiveName(best.objective_name), share(best.objective), "big"],
  ];
  if (sweep.baseline_objective !== null) {
    measures.push(
      ["CCE", share(sweep.baseline_objective)],
      ["over CCE", gain(best.objective - sweep.baseline_objective)],
    );
  }
  if (best.test_accuracy !== null) measures.push(["test accuracy", share(best.test_accuracy)]);
  measures.push([
    sweep.state === "done" ? "recommended on" : "best so far on",
    `${best.seeds} ${best.confirmed ? "fresh seed" : "seed"}${best.seeds === 1 ? "" : "s"}`,
  ]);
  return measures.map(([name, value, size]) =>
    element("div", { class: size || null }, element("dt", {}, name), element("dd", {}, value)),
  );
}

/** Of (β, λ) what was not searched. */
function fixedEmphasis({ supervision, spec }) {
  return supervision === "gr"
    ? Object.entries(spec.hyperparameters || {}).filter(([name]) => ["beta", "lam"].includes(name))
    : [];
}

function linksOf(sweep) {
  return [
    sweep.mlflow_url
      ? element("a", { href: address(sweepPath(sweep.id, "mlflow")) }, "Open in MLflow")
      : element("span", { class: "soft" }, "Not in MLflow yet"),
    sweep.state === "done"
      ? element("a", { href: address(sweepPath(sweep.id, "recommendation")) }, "Export the recommendation (JSON)")
      : null,
    element("a", { href: `#/new?from=${encodeURIComponent(sweep.id)}` }, "Submit another like it"),
  ];
}

function settingsOf(sweep) {
  const facts = [
    ["Network", sweep.backbone],
    ["Supervision", sweep.supervision],
    ["Priority", String(sweep.priority)],
    ["Request key", sweep.request_key],
    ["Run by", sweep.owner],
    ["Data", sweep.data_hash],
    ...Object.entries(sweep.versions)
      .filter(([, value]) => typeof value === "string")
      .map(([name, value]) => [name, value]),
  ];
  return facts
    .filter(([, value]) => value)
    .map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
}

function leading(trials, sweep) {
  const finished = trials.filter((trial) => trial.objective !== null && trial.supervision === sweep.supervision);
  const found = finished.find((trial) =>
    Object.entries(sweep.best?.hyperparameters || {}).every(([name, value]) => trial.hyperparameters[name] === value),
  );
  return found || finished[0] || trials.find((trial) => trial.attempts > 0);
}

function gallery(id, names) {
  const at = (name) => address(sweepPath(id, "figures", name));
  const pictures = names
    .filter((name) => name.endsWith(".png"))
    .map((name) => {
      const title = name.replace(".png", "").replaceAll("_", " ");
      const image = element("img", { src: at(name), alt: `Figure: ${title}`, loading: "lazy" });
      return element("figure", {}, element("a", { href: at(name) }, image), element("figcaption", {}, title));
    });
  const files = names.filter((name) => !name.endsWith(".png")).map((name) => element("a", { href: at(name) }, name));
  return [element("div", { class: "gallery" }, pictures), element("p", { class: "links" }, files)];
}

/** The list of sweeps. */

import { read } from "./api.js";
import { announce, element, fill, inStep } from "./element.js";
import { repeat } from "./live.js";
import {
  about,
  configuration,
  gain,
  moment,
  objectiveName,
  progressBar,
  prose,
  share,
  stateBadge,
  titled,
} from "./words.js";

const STATES = ["queued", "running", "pausing", "paused", "cancelling", "cancelled", "done", "failed"];
const COLUMNS = ["Sweep", "State", "Trials finished", "Best so far", "Over CCE", "Submitted"];
const A_PAGE = 25;
const SECONDS = 4;

/**
 * Show the list.
 *
 * @param {Element} view
 * @param {URLSearchParams} given filters: state, dataset, cursor
 * @param {AbortSignal} signal aborted when the view is left
 */
export function showSweeps(view, given, signal) {
  const state = element(
    "select",
    { id: "filter-state", change: filter },
    element("option", { value: "" }, "any state"),
    STATES.map((each) => element("option", { value: each, selected: given.get("state") === each }, each)),
  );
  const dataset = element("input", {
    id: "filter-dataset",
    type: "search",
    value: given.get("dataset"),
    placeholder: "any",
    autocomplete: "off",
    spellcheck: "false",
    change: filter,
  });
  // The roles keep it a table where a narrow screen shows its rows as cards.
  const rows = element("tbody", { role: "rowgroup" });
  const table = element(
    "table",
    { class: "sweeps", role: "table" },
    element("caption", { class: "unseen" }, "Sweeps, newest first"),
    element(
      "thead",
      { role: "rowgroup" },
      element(
        "tr",
        { role: "row" },
        COLUMNS.map((name) => element("th", { scope: "col", role: "columnheader" }, name)),
      ),
    ),
    rows,
  );
  const nothing = element("div", { class: "nothing", hidden: true });
  const pages = element("nav", { class: "pages", "aria-label": "Pages" });
  view.append(
    element(
      "div",
      { class: "heading" },
      element("h1", {}, "Sweeps"),
      element("a", { class: "button primary", href: "#/new" }, "New sweep"),
    ),
    element(
      "form",
      {
        class: "filters",
        role: "search",
        "aria-label": "Filter the sweeps",
        submit: (event) => event.preventDefault(),
      },
      element("label", { for: "filter-state" }, "State"),
      state,
      element("label", { for: "filter-dataset" }, "Dataset"),
      dataset,
    ),
    element("div", { class: "card" }, table, nothing),
    pages,
  );

  const states = new Map();
  let cursor = given.get("cursor");

  const renew = repeat(
    async () => {
      const query = { state: state.value, dataset: dataset.value.trim(), cursor, limit: A_PAGE };
      const page = await read("/sweeps", { query, signal });
      inStep(rows, page.items, (sweep) => sweep.id, newRow, renewRow);
      table.hidden = page.items.length === 0;
      nothing.hidden = !table.hidden;
      if (table.hidden) fill(nothing, ...emptiness(query));
      fill(pages, ...pageLinks(page));
      tellChanges(page.items, states);
    },
    () => SECONDS,
    signal,
  );

  function filter() {
    cursor = null;
    history.replaceState(null, "", addressOf({}));
    renew();
  }

  function addressOf(more) {
    const query = new URLSearchParams(
      Object.entries({ state: state.value, dataset: dataset.value.trim(), ...more }).filter(([, value]) => value),
    );
    return `#/${query.size ? `?${query}` : ""}`;
  }

  function pageLinks(page) {
    return [
      cursor ? element("a", { class: "button", href: addressOf({}) }, "Newest") : null,
      page.next ? element("a", { class: "button", href: addressOf({ cursor: page.next }) }, "Older") : null,
    ];
  }
}

function newRow(sweep) {
  return element(
    "tr",
    { role: "row" },
    element(
      "th",
      { scope: "row", role: "rowheader" },
      element("a", { href: `#/sweeps/${encodeURIComponent(sweep.id)}` }),
      element("span", { class: "beneath" }),
    ),
    COLUMNS.slice(1).map((name) => element("td", { role: "cell", "data-column": name })),
  );
}

function renewRow(row, sweep) {
  const [about_, state, progress, best, over, submitted] = row.children;
  const beneath = [sweep.backbone, sweep.supervision, element("span", { class: "id" }, sweep.id)];
  fill(about_.firstElementChild, ...titled(sweep)); // its noise rate may have been found out meanwhile
  fill(about_.lastElementChild, ...joined(beneath));
  fill(
    state,
    stateBadge(sweep.state),
    sweep.notes.map((note) => element("span", { class: "beneath" }, prose(note))),
  );
  fill(progress, progressBar(sweep));
  fill(best, ...bestCell(sweep.best));
  fill(
    over,
    sweep.best && sweep.baseline_objective !== null ? gain(sweep.best.objective - sweep.baseline_objective) : "–",
  );
  fill(submitted, moment(sweep.created_at), element("span", { class: "beneath" }, `by ${sweep.submitter}`));
}

function bestCell(best) {
  if (best === null) return ["–"];
  const measure = `${share(best.objective)} ${objectiveName(best.objective_name)}`;
  return [
    element("span", { class: "found" }, configuration(best.supervision, best.hyperparameters)),
    element("span", { class: "beneath" }, best.confirmed ? `${measure}, confirmed` : measure),
  ];
}

function joined(parts) {
  return parts.flatMap((part, at) => (at ? [" · ", part] : [part]));
}

function emptiness(query) {
  if (query.state || query.dataset || query.cursor) {
    return [element("p", {}, "No sweep matches the filter.")];
  }
  return [
    element("p", {}, "Nothing was submitted yet."),
    element("p", {}, element("a", { class: "button primary", href: "#/new" }, "Submit the first sweep")),
    element(
      "p",
      { class: "soft" },
      "Or in a shell: ",
      element("code", {}, "emphasis submit --dataset digits --noise-rate 0.4"),
    ),
  ];
}

function tellChanges(sweeps, states) {
  const changed = sweeps.filter((sweep) => states.has(sweep.id) && states.get(sweep.id) !== sweep.state);
  if (changed.length) announce(changed.map((sweep) => `${about(sweep)}: ${sweep.state}`).join(". "));
  for (const sweep of sweeps) states.set(sweep.id, sweep.state);
}

/** The form that submits a sweep; the service judges what is typed, while it is typed and at the end. */

import { ask, Problem, read, sweepPath } from "./api.js";
import * as draft from "./draft.js";
import { announce, element, fill, trouble } from "./element.js";
import { adaptable, ADVANCED, FIELDS, fieldOf, GROUPS, specOf, typedText, typedValue } from "./fields.js";
import { prose } from "./words.js";

const PAUSE = 400; // ms after the last key before the service is asked

/**
 * Show the form.
 *
 * @param {Element} view
 * @param {URLSearchParams} given from: a sweep to begin with
 * @param {AbortSignal} signal aborted when the view is left
 */
export function showForm(view, given, signal) {
  new Form(view, signal).begin(given.get("from"));
}

class Form {
  constructor(view, signal) {
    this.signal = signal;
    this.inputs = new Map();
    this.touched = new Set();
    this.said = new Map();
    this.asked = 0;
    this.edited = false;
    this.key = newKey();
    this.summary = element("div", { class: "summary", role: "alert", tabindex: "-1", hidden: true });
    this.plan = element("p", { class: "plan", id: "plan" });
    this.json = element("pre", { tabindex: "0", "aria-label": "The sweep as JSON" });
    this.button = element(
      "button",
      { type: "submit", class: "button primary", "aria-describedby": "plan" },
      "Submit the sweep",
    );
    this.advanced = element(
      "details",
      { class: "advanced" },
      element("summary", {}, "Advanced"),
      ADVANCED.map((group) => this.group(group)),
    );
    this.form = element(
      "form",
      {
        class: "card submission",
        novalidate: true,
        "aria-label": "New sweep",
        submit: (event) => this.submit(event),
        input: (event) => this.typed(event),
        change: (event) => this.left(event),
      },
      GROUPS.map((group) => this.group(group)),
      this.advanced,
      element("div", { class: "send" }, this.button, this.plan),
    );
    const aside = element(
      "section",
      { class: "card", "aria-labelledby": "as-json" },
      element("h2", { id: "as-json" }, "As JSON"),
      element(
        "p",
        { class: "soft" },
        "What is submitted: the body of ",
        element("code", {}, "POST /api/v1/sweeps"),
        ", or the file of ",
        element("code", {}, "emphasis submit"),
        ".",
      ),
      this.json,
    );
    view.append(
      element("div", { class: "heading" }, element("h1", {}, "New sweep")),
      this.summary,
      element("div", { class: "columns mostly-left" }, this.form, aside),
    );
    this.form.addEventListener("focusout", (event) => this.left(event));
    // Also to log in again: what was typed is there when somebody comes back.
    window.addEventListener("pagehide", () => this.keep(), { signal });
  }

  async begin(from) {
    this.showJson();
    try {
      const offered = FIELDS.filter((field) => field.names);
      const [before, ...lists] = await Promise.all([
        from ? read(sweepPath(from), { signal: this.signal }) : null,
        ...offered.map((field) => read(`/${field.names}`, { signal: this.signal })),
      ]);
      offered.forEach((field, number) => this.offer(field.name, lists[number]));
      if (!this.takeBack() && before) this.copy(before);
    } catch (problem) {
      if (!this.signal.aborted) trouble(problem.message);
    }
  }

  group({ title, fields }) {
    return element(
      "fieldset",
      {},
      element("legend", {}, title),
      element(
        "div",
        { class: "fields" },
        fields.map((field) => this.field(field)),
      ),
    );
  }

  field(field) {
    const id = idOf(field.name);
    const input = this.inputs.set(field.name, inputFor(field, id)).get(field.name);
    const label = element(
      "label",
      { for: id },
      field.label,
      field.required ? element("span", { class: "soft" }, " (required)") : null,
    );
    const hint = field.hint ? element("p", { class: "hint", id: `hint-${id}` }, field.hint) : null;
    const wrong = element("p", { class: "wrong", id: `wrong-${id}`, hidden: true });
    const names = field.names && field.kind !== "choice" ? element("datalist", { id: `names-${id}` }) : null;
    if (names) input.setAttribute("list", names.id);
    describe(input, hint, wrong);
    const parts =
      field.kind === "flag" ? [element("div", { class: "flag" }, input, label), hint] : [label, input, names, hint];
    return element("div", { class: "field" }, parts, wrong);
  }

  offer(name, entries) {
    const input = this.inputs.get(name);
    const items = entries.filter((entry) => entry.problem === null);
    if (input.tagName === "SELECT") {
      const value = input.value;
      input.replaceChildren(...items.map((item) => element("option", { value: item.name }, item.name)));
      input.value = value;
      input.addEventListener("change", () => this.explain(name, items));
      this.explain(name, items);
    } else {
      input.list.replaceChildren(...items.map((item) => element("option", { value: item.name }, item.description)));
    }
  }

  explain(name, items) {
    const chosen = items.find((item) => item.name === this.inputs.get(name).value);
    const hint = document.getElementById(`hint-${idOf(name)}`);
    if (chosen && hint) fill(hint, chosen.description);
  }

  copy(before) {
    const spec = adaptable(before);
    for (const field of FIELDS.filter((each) => !each.beside)) {
      const value = field.name.split(".").reduce((inner, step) => inner?.[step], spec);
      const input = this.inputs.get(field.name);
      if (field.kind === "flag") input.checked = value ?? field.value;
      else input.value = typedText(field, value);
    }
    this.filled();
  }

  keep() {
    if (!this.edited) return;
    const values = [...this.inputs].map(([name, input]) => [name, valueOf(input)]);
    // With its key: what was sent before without an answer is not submitted twice.
    draft.keep({ key: this.key, values });
  }

  /** Whether there was something that had been typed here before. */
  takeBack() {
    const kept = this.edited ? null : draft.take();
    if (kept === null) return false;
    this.key = kept.key;
    for (const [name, value] of kept.values) {
      const input = this.inputs.get(name);
      if (input.type === "checkbox") input.checked = value;
      else input.value = value;
    }
    this.edited = true;
    this.filled();
    return true;
  }

  /** Show what was put into the fields, nothing of it folded away. */
  filled() {
    const given = (field) => typedValue(field, this.inputs.get(field.name)) !== undefined;
    if (ADVANCED.some((group) => group.fields.some(given))) this.advanced.open = true;
    this.showJson();
    this.check();
  }

  spec() {
    return specOf(
      FIELDS.filter((field) => !field.beside).map((field) => [
        field.name,
        typedValue(field, this.inputs.get(field.name)),
      ]),
    );
  }

  /** What goes with the sweep, by name. */
  beside() {
    const fields = FIELDS.filter((field) => field.beside);
    return Object.fromEntries(fields.map(({ name }) => [name, this.inputs.get(name).value.trim()]));
  }

  /** All that is wrong: what goes beside a sweep is refused before the sweep is looked at, which is asked for here. */
  async allErrors(problem, signal) {
    if (!(problem instanceof Problem)) throw problem;
    if (!problem.errors.some((error) => fieldOf(error.field)?.beside)) return problem.errors;
    const rest = await ask("POST", "/validate", { body: this.spec(), signal }).catch((refusal) => refusal);
    return [...(rest.errors || []), ...problem.errors];
  }

  typed(event) {
    this.edited = true;
    this.key = newKey();
    this.showJson();
    clearTimeout(this.timer);
    if (this.touched.has(nameOf(event.target))) this.timer = setTimeout(() => this.check(), PAUSE);
  }

  left(event) {
    const name = nameOf(event.target);
    if (!this.inputs.has(name) || (event.type === "focusout" && !this.inputs.get(name).value)) return;
    this.touched.add(name);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), 0);
  }

  showJson() {
    fill(this.json, JSON.stringify(this.spec(), null, 2));
  }

  async check() {
    const asked = ++this.asked;
    this.checking?.abort();
    this.checking = new AbortController();
    const signal = AbortSignal.any([this.signal, this.checking.signal]);
    try {
      const checked = await ask("POST", "/validate", { body: this.spec(), query: this.beside(), signal });
      if (asked === this.asked) this.judge([], planOf(checked));
    } catch (problem) {
      if (signal.aborted) return;
      const errors = await this.allErrors(problem, signal);
      if (signal.aborted || asked !== this.asked) return;
      this.judge(errors, errors.length ? [] : [problem.message]); // e.g. that a reader submits nothing
    }
  }

  async submit(event) {
    event.preventDefault();
    clearTimeout(this.timer);
    this.asked += 1;
    for (const field of FIELDS) this.touched.add(field.name);
    this.button.disabled = true;
    try {
      const headers = { "Idempotency-Key": this.key };
      const given = { body: this.spec(), query: this.beside(), headers, signal: this.signal };
      const sweep = await ask("POST", "/sweeps", given);
      this.key = newKey();
      announce("The sweep was submitted.");
      this.edited = false;
      draft.take();
      location.hash = `#/sweeps/${encodeURIComponent(sweep.id)}`;
    } catch (problem) {
      const errors = await this.allErrors(problem, this.signal);
      this.judge(errors, []);
      this.showSummary(problem, errors);
    } finally {
      this.button.disabled = false;
    }
  }

  /** Show what is wrong beside each field that was touched; say what is new. */
  judge(errors, plan) {
    const byField = Map.groupBy(errors, (error) => fieldOf(error.field)?.name);
    const news = [];
    for (const field of FIELDS) {
      const texts = this.touched.has(field.name)
        ? (byField.get(field.name) || []).map((error) => within(field, error))
        : [];
      const text = texts.join(" ");
      const input = this.inputs.get(field.name);
      const wrong = document.getElementById(`wrong-${idOf(field.name)}`);
      fill(wrong, text);
      wrong.hidden = text === "";
      if (text) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
      if (text && this.said.get(field.name) !== text) news.push(`${field.label}: ${text}`);
      this.said.set(field.name, text);
    }
    fill(this.plan, ...plan);
    if (errors.length === 0) this.summary.hidden = true;
    if (news.length) announce(news.join(" "));
  }

  showSummary(problem, errors) {
    const lines = errors.map((error) => {
      const field = fieldOf(error.field);
      const text = `${error.field}: ${sentence(error)}`;
      return element(
        "li",
        {},
        field
          ? element("a", { href: `#${idOf(field.name)}`, click: (event) => this.goTo(event, field.name) }, text)
          : text,
      );
    });
    fill(
      this.summary,
      element("h2", {}, lines.length || problem.status === 0 ? problem.title : "Not submitted"),
      lines.length ? element("ul", {}, lines) : element("p", {}, problem.message),
    );
    this.summary.hidden = false;
    if (ADVANCED.some((group) => group.fields.some((field) => this.said.get(field.name)))) this.advanced.open = true;
    announce("");
    this.summary.focus();
  }

  goTo(event, name) {
    event.preventDefault();
    const input = this.inputs.get(name);
    if (this.advanced.contains(input)) this.advanced.open = true;
    input.focus();
  }
}

function inputFor(field, id) {
  const shared = { id, name: field.name };
  if (field.kind === "flag") return element("input", { ...shared, type: "checkbox", checked: field.value });
  if (field.kind === "choice") {
    return element(
      "select",
      shared,
      field.choices.map((each) =>
        element("option", { value: each, selected: each === field.value }, each || "default"),
      ),
    );
  }
  return element("input", {
    ...shared,
    type: "text",
    required: field.required,
    inputmode: field.kind === "number" ? "decimal" : null,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
  });
}

function valueOf(input) {
  return input.type === "checkbox" ? input.checked : input.value;
}

function describe(input, hint, wrong) {
  input.setAttribute("aria-describedby", [hint?.id, wrong.id].filter(Boolean).join(" "));
}

function planOf(checked) {
  const said = (kind) => (text) => element("span", { class: kind }, prose(text));
  return [
    said("")(`${checked.trials} trials will be run.`),
    ...checked.notes.map(said("")),
    ...checked.warnings.map(said("note")),
  ];
}

/** What is wrong, exactly as the service says it; where inside the field, if it is not the whole. */
function within(field, error) {
  const inside = error.field === field.name ? "" : `${error.field}: `;
  return inside + sentence(error);
}

function sentence(error) {
  return `${error.problem}. ${error.remedy}`;
}

function idOf(name) {
  return `field-${name.replaceAll(".", "-")}`;
}

function nameOf(target) {
  return target.name || "";
}

// Not crypto.randomUUID, which only secure origins have.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * The fields of a sweep as the form has them: the SweepSpec's, by dotted name.
 *
 * kind: text (as typed), number (a number where it is one), choice, flag, mapping (name=value, ...), list (1, 2, ...)
 * or space (a name or JSON).
 * Whatever cannot be read is sent as typed: the service judges it, and says what is wrong with it.
 * beside: it goes with the sweep, and is no field of it.
 */

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export const GROUPS = [
  {
    title: "Data",
    fields: [
      {
        name: "dataset",
        label: "Dataset",
        hint: "A name, torchvision:NAME, or a path.",
        required: true,
        names: "datasets",
      },
      { name: "noise_rate", label: "Noise rate", hint: "Share of wrong labels, e.g. 0.4; or unknown.", kind: "number" },
      { name: "data_dir", label: "Data folder", hint: "Where the dataset's files are, if it needs any." },
    ],
  },
  {
    title: "Search",
    fields: [
      {
        name: "supervision",
        label: "Supervision",
        hint: "What is searched.",
        kind: "choice",
        choices: ["gr"],
        value: "gr",
        names: "supervisions",
      },
      {
        name: "space",
        label: "Space",
        hint: "The supervision's own, a named one, or JSON.",
        kind: "space",
        names: "spaces",
      },
      { name: "trials", label: "Trials", hint: "Configurations to try. Default 30, or all of a grid.", kind: "number" },
    ],
  },
  {
    title: "Training",
    fields: [
      {
        name: "backbone",
        label: "Backbone",
        hint: "mlp, resnet20 to resnet110, torchvision:NAME. Default: the dataset's.",
        names: "backbones",
      },
      {
        name: "training.epochs",
        label: "Epochs",
        hint: "Budget of each trial. Default: the dataset's recipe.",
        kind: "number",
      },
    ],
  },
];

export const ADVANCED = [
  {
    title: "Data and noise",
    fields: [
      {
        name: "noise_model",
        label: "Noise model",
        hint: "Default symmetric; matrix, file, or none where labels are noisy already.",
        names: "noise-models",
      },
      { name: "noise_file", label: "Noise file", hint: "Of the models matrix and file." },
      { name: "noise_column", label: "Column of it", hint: "Where it has several." },
      {
        name: "limit_train",
        label: "Training examples",
        hint: "Train on so many only, drawn by class.",
        kind: "number",
      },
      { name: "download", label: "Fetch missing files", kind: "flag", value: false },
    ],
  },
  {
    title: "Search",
    fields: [
      { name: "hyperparameters", label: "Fixed values", hint: "Not searched, e.g. q=0.7, start=10", kind: "mapping" },
      {
        name: "sampler",
        label: "Sampler",
        hint: "Default: grid on a grid, else tpe.",
        kind: "choice",
        choices: ["", "tpe", "random", "grid", "gp", "cmaes"],
      },
      {
        name: "objective",
        label: "Objective",
        hint: "Default: the first that the data allows.",
        kind: "choice",
        choices: ["", "intact", "clean_validation", "noisy_validation"],
      },
      {
        name: "validation_fraction",
        label: "Validation fraction",
        hint: "Held out by noisy_validation. Default 0.1.",
        kind: "number",
      },
      { name: "repeats", label: "Seeds in the search", hint: "For each configuration. Default 1.", kind: "number" },
      {
        name: "early_stopping",
        label: "Early stopping",
        hint: "Configurations that look hopeless are given up. Default: asha where it loses nothing on average.",
        kind: "choice",
        choices: ["", "none", "median", "asha", "hyperband", "wilcoxon"],
      },
      {
        name: "transform",
        label: "Transform",
        hint: "Of gr.",
        kind: "choice",
        choices: ["exp", "identity"],
        value: "exp",
      },
      {
        name: "normalise",
        label: "Normalise",
        hint: "Of gr.",
        kind: "choice",
        choices: ["batch", "none"],
        value: "batch",
      },
      { name: "seed", label: "Seed", hint: "Everything drawn depends on it. Default 0.", kind: "number" },
      { name: "starting_points", label: "Try the paper's settings first", kind: "flag", value: true },
    ],
  },
  {
    title: "Confirmation with fresh seeds",
    fields: [
      { name: "confirm.top", label: "Best configurations", hint: "How many are confirmed. Default 3.", kind: "number" },
      {
        name: "confirm.seeds",
        label: "Fresh seeds",
        hint: "For each and for CCE. Default 3; 0 for none.",
        kind: "number",
      },
      { name: "confirm.defaults", label: "The supervision's defaults too", kind: "flag", value: false },
    ],
  },
  {
    title: "Training of each trial",
    fields: [
      {
        name: "training.iterations",
        label: "Iterations",
        hint: "Budget in steps, in place of epochs.",
        kind: "number",
      },
      { name: "training.batch_size", label: "Batch size", hint: "Examples a step.", kind: "number" },
      { name: "training.learning_rate", label: "Learning rate", hint: "At the start.", kind: "number" },
      { name: "training.momentum", label: "Momentum", hint: "Of SGD.", kind: "number" },
      { name: "training.weight_decay", label: "Weight decay", hint: "L2 coefficient.", kind: "number" },
      { name: "training.dropout", label: "Dropout", hint: "Before the classifier.", kind: "number" },
      {
        name: "training.milestones",
        label: "Milestones",
        hint: "Where the rate drops, e.g. 0.5, 0.75; [] for nowhere.",
        kind: "list",
      },
      {
        name: "training.milestone_unit",
        label: "Their unit",
        kind: "choice",
        choices: ["fraction", "epochs", "iterations"],
        value: "fraction",
      },
      {
        name: "training.decay_factor",
        label: "Decay factor",
        hint: "What the rate is multiplied by there.",
        kind: "number",
      },
      {
        name: "training.augmentation",
        label: "Augmentation",
        kind: "choice",
        choices: ["", "none", "pad-crop-flip", "resize-crop-flip"],
      },
      { name: "training.precision", label: "Precision", kind: "choice", choices: ["", "auto", "fp32", "bf16"] },
      { name: "training.evaluate_every", label: "Evaluate every", hint: "Epochs between evaluations.", kind: "number" },
      { name: "training.weights", label: "Weights", hint: "The network starts from: a file, default, or none." },
    ],
  },
  {
    title: "Where it runs",
    fields: [
      {
        name: "concurrency",
        label: "Trials at once",
        hint: "Default: as many as the resources allow.",
        kind: "number",
      },
      {
        name: "lanes",
        label: "Trials in a process",
        hint: "That are trained together. Default: as suits its GPU.",
        kind: "number",
      },
      { name: "resources.cpus", label: "CPU cores of a trial", hint: "Default 1.", kind: "number" },
      {
        name: "resources.gpus",
        label: "GPUs of a trial",
        hint: "Default 0; whole, or a share such as 1/3.",
        kind: "number",
      },
      {
        name: "max_failure_rate",
        label: "Most failures",
        hint: "Stop when a larger share of trials fails. Default 0.5.",
        kind: "number",
      },
      { name: "max_retries", label: "Restarts", hint: "Of a trial whose process died. Default 2.", kind: "number" },
      { name: "priority", label: "Priority", hint: "In the queue, higher is run first. Default 0.", beside: true },
    ],
  },
];

export const FIELDS = [...GROUPS, ...ADVANCED].flatMap((group) => group.fields);

/** What was typed into a field, as the service takes it; undefined where nothing was. */
export function typedValue(field, input) {
  if (field.kind === "flag") return input.checked === field.value ? undefined : input.checked;
  const text = input.value.trim();
  if (text === "" || text === field.value) return undefined;
  switch (field.kind) {
    case "number":
      return numberOr(text);
    case "list":
      return listOr(text.replace(/^\[|\]$/g, "").trim());
    case "mapping":
      return mappingOr(text);
    case "space":
      return jsonOr(text);
    default:
      return text;
  }
}

/** How a value of a spec is typed into a field. */
export function typedText(field, value) {
  if (value === null || value === undefined) return field.value ?? "";
  switch (field.kind) {
    case "list":
      return value.length ? value.join(", ") : "[]";
    case "mapping":
      return Object.entries(value)
        .map(([name, each]) => `${name}=${each}`)
        .join(", ");
    case "space":
      return typeof value === "string" ? value : JSON.stringify(value);
    default:
      return String(value);
  }
}

/**
 * The spec of a recorded sweep, to begin another with: its milestones, which are recorded as steps, as shares of the
 * budget, so that they move with it; without them where nobody can say how many steps it had.
 */
export function adaptable({ spec, facts }) {
  const { milestones, milestone_unit: unit, ...training } = spec.training || {};
  if (unit !== "iterations" || !milestones) return spec;
  const budget = training.iterations ?? training.epochs * stepsOfAnEpoch(facts.train_examples, training.batch_size);
  const shares = milestones.map((step) => Number((step / budget).toPrecision(8)));
  const sound = shares.every((share, at) => share > (shares[at - 1] ?? 0) && share < 1);
  return { ...spec, training: sound ? { ...training, milestones: shares } : training };
}

// A last batch of one example is left out.
function stepsOfAnEpoch(examples, batchSize) {
  return Math.floor(examples / batchSize) + (examples % batchSize > 1 ? 1 : 0);
}

/** The fields of a spec: nested where a name has dots. */
export function specOf(values) {
  const spec = {};
  for (const [name, value] of values) {
    if (value === undefined) continue;
    const path = name.split(".");
    const last = path.pop();
    let holder = spec;
    for (const step of path) {
      holder[step] ??= {};
      holder = holder[step];
    }
    holder[last] = value;
  }
  return spec;
}

/** The field of the form that an error is about; undefined where it has none. */
export function fieldOf(named) {
  const about = FIELDS.filter(
    ({ name }) => named === name || named.startsWith(`${name}.`) || named.startsWith(`${name}[`),
  );
  return about.sort((one, other) => other.name.length - one.name.length)[0];
}

function numberOr(text) {
  return NUMBER.test(text) ? Number(text) : text;
}

function listOr(text) {
  return text === "" ? [] : text.split(",").map((each) => numberOr(each.trim()));
}

function mappingOr(text) {
  const pairs = text.split(",").map((each) => each.split("="));
  if (pairs.some((pair) => pair.length !== 2 || !pair[0].trim())) return text;
  return Object.fromEntries(pairs.map(([name, value]) => [name.trim(), numberOr(value.trim())]));
}

function jsonOr(text) {
  if (!/^[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** What the page asks of the service: `/api/v1`, nothing else. */

const ROOT = "api/v1";

/** Why the service refused: problem details after RFC 9457. */
export class Problem extends Error {
  constructor({ title, detail, status = 0, errors = [] }) {
    super(detail || title);
    this.title = title;
    this.status = status;
    this.errors = errors;
  }
}

/** The address of something in the API, for a link. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return `${ROOT}${path}${text ? `?${text}` : ""}`;
}

/** The address of one sweep, or of something of it. */
export function sweepPath(id, ...parts) {
  return ["/sweeps", id, ...parts].map((part, at) => (at ? encodeURIComponent(part) : part)).join("/");
}

/** Read something. */
export function read(path, { query, signal } = {}) {
  return ask("GET", path, { query, signal });
}

/** Ask for something to be done. */
export async function ask(method, path, { query, body, headers, signal } = {}) {
  let answer;
  try {
    answer = await fetch(address(path, query), {
      method,
      signal,
      credentials: "same-origin",
      headers: {
        Accept: "application/json",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const detail =
      method === "GET"
        ? "The service does not answer. Check that it runs; this page goes on asking."
        : "The service does not answer, so this may not have been done. Try again once it does.";
    throw new Problem({ title: "No answer", detail });
  }
  if (answer.status === 401) {
    const here = location.pathname + location.search + location.hash;
    location.assign(`login?next=${encodeURIComponent(here)}`);
    return new Promise(() => {}); // the page is about to be left
  }
  const told = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw new Problem({ title: answer.statusText || "Refused", status: answer.status, ...told });
  return told;
}

/** Everything of a list that comes in pages. */
export async function readAll(path, { query = {}, signal } = {}) {
  const items = [];
  let next = null;
  do {
    const page = await read(path, { query: { ...query, ...(next === null ? {} : { after: next }) }, signal });
    items.push(...page.items);
    next = page.next;
  } while (next !== null);
  return items;
}

/** What is being typed into a form, kept by the browser while one logs in again or reloads; nothing where it may not. */

/** Keep a value for this address, until it is taken or one logs out. */
export function keep(value) {
  store()?.setItem(location.hash, JSON.stringify(value));
}

/** The value that was kept for this address, which is forgotten; null where there is none. */
export function take() {
  const kept = store()?.getItem(location.hash) ?? null;
  store()?.removeItem(location.hash);
  return kept === null ? null : JSON.parse(kept);
}

/** Keep nothing any more: the next who logs in may be another. */
export function forget() {
  forgotten = true;
  sessionStorageOrNothing()?.clear();
}

let forgotten = false;

function store() {
  return forgotten ? null : sessionStorageOrNothing();
}

function sessionStorageOrNothing() {
  try {
    return sessionStorage;
  } catch {
    return null; // blocked, as people may have it
  }
}

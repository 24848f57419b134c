/** The DOM, built from values: nothing that the service tells can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; an attribute that is a function is a listener, true is an empty one, null and false are none. */
export function element(tag, attributes = {}, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function drawn(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace what a node holds, unless it says the same already: text that is selected or read out stays as it is. */
export function fill(node, ...children) {
  const wanted = document.createDocumentFragment();
  wanted.append(...present(children));
  const holder = document.createElement("div");
  holder.append(wanted);
  if (holder.innerHTML !== node.innerHTML) node.replaceChildren(...holder.childNodes);
  return node;
}

/**
 * Make a parent's children those of a list, by key: what is there already is renewed in place and keeps the focus.
 *
 * @param {Element} parent whose children it owns
 * @param {Array} items in the order wanted
 * @param {(item) => string} key
 * @param {(item) => Element} make a new child
 * @param {(child, item) => void} renew a child, new or not
 */
export function inStep(parent, items, key, make, renew) {
  const children = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = new Set(items.map((item) => String(key(item))));
  for (const [name, child] of children) if (!wanted.has(name)) child.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    let child = children.get(String(key(item)));
    if (child === undefined) {
      child = make(item);
      child.dataset.key = key(item);
    }
    renew(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}

/** Say something to those who do not see the page change. */
export function announce(text) {
  document.getElementById("announcements").textContent = text;
}

/** Show that something went wrong, over every view; an empty text takes it away. */
export function trouble(text) {
  const place = document.getElementById("trouble");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}

function furnished(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...present(children));
  return node;
}

function present(children) {
  return children.flat().filter((child) => child !== null && child !== undefined && child !== "");
}

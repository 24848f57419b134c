// What a reader of the page would stumble over; every entry of the list is one thing wrong.
() => {
  const wrong = [];
  const shown = (node) => node.checkVisibility({ visibilityProperty: true }) && node.getClientRects().length > 0;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (node) => (node?.textContent || "").trim();
  const tell = (problem, node) => wrong.push(`${problem}: ${node.outerHTML.slice(0, 120)}`);

  const referred = (node, name) =>
    (node.getAttribute(name) || "")
      .split(/\s+/)
      .filter(Boolean)
      .map((id) => document.getElementById(id));
  const nameOf = (node) =>
    node.getAttribute("aria-label") ||
    referred(node, "aria-labelledby").map(text).join(" ") ||
    [...(node.labels || [])].map(text).join(" ") ||
    text(node) ||
    [...node.querySelectorAll("img")].map((image) => image.alt).join("");

  const ids = all("[id]").map((node) => node.id);
  for (const id of new Set(ids))
    if (ids.filter((each) => each === id).length > 1) wrong.push(`two elements have the id ${id}`);
  for (const name of ["aria-labelledby", "aria-describedby"]) {
    for (const node of all(`[${name}]`)) if (referred(node, name).includes(null)) tell(`${name} leads nowhere`, node);
  }
  for (const node of all(
    "a[href], button, input, select, textarea, summary, dialog[open], [role=region], nav, svg[role=img], progress",
  )) {
    if (!nameOf(node)) tell("no name", node);
  }
  for (const node of all("img")) if (node.getAttribute("alt") === null) tell("no alt", node);
  for (const node of all("table")) {
    if (!text(node.caption)) tell("no caption", node);
    if (!node.querySelector("thead th[scope=col]")) tell("no headers", node);
  }
  for (const node of all("[tabindex]")) if (node.tabIndex > 0) tell("a tab order of its own", node);
  if (!document.documentElement.lang) wrong.push("no language");
  if (all("main").length !== 1 || all("h1").length !== 1) wrong.push("not one main and one h1");
  const levels = all("h1, h2, h3, h4")
    .filter(shown)
    .map((node) => Number(node.tagName[1]));
  if (levels.some((level, at) => at && level > levels[at - 1] + 1)) wrong.push(`headings skip a level: ${levels}`);
  if (!document.querySelector("[role=status]") || !document.querySelector("[role=alert]"))
    wrong.push("nothing is announced");

  // Contrast, WCAG 2.2: 1.4.3 of text, 1.4.11 of the borders of what is typed into.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = ([r, g, b, a], [x, y, z]) => [r, g, b].map((each, at) => (each * a + [x, y, z][at] * (255 - a)) / 255);
  const behind = (node) => {
    if (node === null)
      return rgba(
        getComputedStyle(document.documentElement).colorScheme.includes("dark") &&
          matchMedia("(prefers-color-scheme: dark)").matches
          ? "black"
          : "white",
      );
    const own = rgba(getComputedStyle(node).backgroundColor);
    return own[3] === 255 ? own : over(own, behind(node.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour
      .slice(0, 3)
      .map((each) => each / 255)
      .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  for (const node of all("body *")) {
    const own = [...node.childNodes]
      .filter((child) => child.nodeType === Node.TEXT_NODE)
      .map((child) => child.data.trim())
      .join("");
    if (!own || !shown(node) || node.closest(":disabled, .unseen, noscript, option")) continue;
    const style = getComputedStyle(node);
    const ground = behind(node);
    const ink = over(rgba(node.namespaceURI.endsWith("svg") ? style.fill : style.color), ground);
    const large =
      parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    const found = contrast(ink, ground);
    if (found < (large ? 3 : 4.5)) tell(`contrast ${found.toFixed(2)}`, node);
  }
  for (const node of all("input:not([type=checkbox]), select")) {
    if (!shown(node)) continue;
    const found = contrast(
      over(rgba(getComputedStyle(node).borderTopColor), behind(node.parentElement)),
      behind(node.parentElement),
    );
    if (found < 3) tell(`border contrast ${found.toFixed(2)}`, node);
  }
  return wrong;
};

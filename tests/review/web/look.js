// What a page's text and signs are painted with, and on which ground: colours as the browser computes them.
(signs) => {
  const parsed = (text) => { const found = text.match(/rgba?\(([^)]*)\)/); if (!found) return null;
    const part = found[1].split(/[ ,\/]+/).map(Number); return [part[0], part[1], part[2], part.length > 3 ? part[3] : 1]; };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const ground = (element) => { const layers = [];
    for (let one = element; one; one = one.parentElement) { const colour = parsed(getComputedStyle(one).backgroundColor);
      if (colour && colour[3] > 0) { layers.push(colour); if (colour[3] === 1) break; } }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]); };
  const faded = (element) => { let found = 1; for (let one = element; one; one = one.parentElement) found *= Number(getComputedStyle(one).opacity); return found; };
  const shown = (element) => { const box = element.getBoundingClientRect(); const style = getComputedStyle(element);
    return box.width > 1.5 && box.height > 1.5 && style.visibility === "visible" && element.checkVisibility(); };
  const named = (element) => element.tagName.toLowerCase() + (element.getAttribute("class") ? "." + element.getAttribute("class").trim().replace(/\s+/g, ".") : "");
  const out = [];
  const tell = (kind, element, colour, below, words) => { const ink = parsed(colour); if (!ink || !ink[3]) return;
    ink[3] *= faded(element); out.push({ kind, name: named(element), ink: over(ink, below).slice(0, 3), ground: below.slice(0, 3), words }); };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) { const words = walker.currentNode.textContent.trim(); const element = walker.currentNode.parentElement;
    if (!words || !shown(element) || element.closest(":disabled, .unseen, script, style, canvas")) continue;
    tell("text", element, getComputedStyle(element).color, ground(element), words.slice(0, 40)); }
  for (const element of document.querySelectorAll("input, select, textarea")) { if (!shown(element) || element.disabled) continue;
    tell("text", element, getComputedStyle(element).color, ground(element), element.value || element.name);
    if (element.placeholder) tell("text", element, getComputedStyle(element, "::placeholder").color, ground(element), element.placeholder); }
  for (const element of document.querySelectorAll(signs)) { if (!element.checkVisibility() || element.matches(":disabled")) continue;
    const style = getComputedStyle(element); const inside = element instanceof SVGElement;
    const below = ground(inside ? element.ownerSVGElement.parentElement : element.parentElement);
    const inks = inside ? [style.stroke, style.fill] : ["Top", "Left", "Bottom"].map((side) => parseFloat(style["border" + side + "Width"]) ? style["border" + side + "Color"] : "none");
    const own = inside ? null : parsed(style.backgroundColor); if (own && own[3]) inks.push(style.backgroundColor);
    const found = inks.filter((one) => parsed(one) && parsed(one)[3] > 0).map((one) => [one, over(parsed(one), below)]);
    out.push({ kind: "sign", name: named(element), inks: found.map(([, ink]) => ink.slice(0, 3)), ground: below.slice(0, 3), words: element.textContent.trim().slice(0, 30),
      size: [element.getBoundingClientRect().width, element.getBoundingClientRect().height] }); }
  return out; }

// Joins panes, tools and keys on an axilla's page, and asks for a new prediction when a contour was redrawn.
"use strict";
(() => {
  const { View, Pane, Editor } = window.usdlrViewer;
  const root = document.getElementById("viewer");
  if (!root) return;
  const panes = document.getElementById("panes"), reading = document.getElementById("reading"), fault = document.getElementById("fault");
  const hint = document.getElementById("editing-hint"), editing = document.getElementById("editing"), maps = document.getElementById("heat-map");
  const token = root.dataset.token;
  let csrf = document.body.dataset.csrf;
  let data = JSON.parse(root.dataset.viewer);
  let seen = Number(root.dataset.seen), key = "", view = null, list = [], busy = false, drag = null, heating = null;
  const pointers = new Map();
  const state = { shown: { contour: true, ring: true, calipers: false, heat: false }, heat: null, ruler: null, pointer: null, editor: null, tool: "pan" };
  const each = (selector, act) => root.querySelectorAll(selector).forEach(act);
  const one = (selector) => root.querySelector(selector);
  const pictures = new Map();
  const HINTS = {
    move: "Drag a point. Keys: [ and ] choose a point, arrows move it, i adds, Delete erases, Ctrl+Z undoes, Esc cancels.",
    add: "Click beside the line to put a point there, and drag it on.",
    erase: "Drag over points to erase them; three always stay.",
    box: "Drag a box around the lesion: the software outlines what is in it.",
    inside: "Click or draw on what belongs to the lesion: the outline will hold it.",
    outside: "Click or draw on what does not belong to the lesion: the outline will leave it out.",
    draw: "Begin and end on the contour to replace that part, or draw a whole new outline beside it.",
  };

  function load(address) {
    if (!pictures.has(address)) {
      pictures.set(address, new Promise((resolve, reject) => {
        const picture = new Image();
        picture.onload = () => resolve(picture);
        picture.onerror = () => { pictures.delete(address); reject(new Error(address)); };
        picture.src = address;
      }));
    }
    return pictures.get(address);
  }

  let asked = false;
  function redraw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; list.forEach((pane) => pane.draw()); });
  }

  function say(words) { reading.textContent = words; }
  function complain(words, actions) {
    fault.replaceChildren(document.createTextNode(words));
    (actions || []).forEach(([text, act]) => { const button = document.createElement("button"); button.type = "button"; button.textContent = text; button.addEventListener("click", act); fault.append(button); });
    fault.hidden = !words;
  }

  function show(image, keep) {
    state.editor = null; state.ruler = null; state.heat = null; heating = null; editing.hidden = true;
    const before = keep ? view : null;
    view = new View(image);
    if (before) Object.assign(view, { level: before.level, width: before.width, opacity: before.opacity, scale: before.scale, cx: before.cx, cy: before.cy });
    list = image.panes.map(({ kind, title }) => new Pane(kind, title, view, state));
    panes.replaceChildren(...list.map((pane) => pane.figure));
    list.forEach(attach);
    // A picture that arrives late belongs to the panes that asked for it, never to those of the image shown since.
    const own = list, current = () => list === own;
    image.panes.forEach(({ kind, grey, overlay }, at) => {
      load(grey).then((picture) => { if (current()) { own[at].setGrey(picture); redraw(); } }).catch(() => { if (current()) complain(`The picture of image ${image.number} cannot be shown.`); });
      if (overlay) load(overlay).then((picture) => { if (current()) { own[at].overlay = picture; redraw(); } }).catch(() => { if (current()) complain(`The ${kind} picture of image ${image.number} cannot be shown.`); });
    });
    document.querySelectorAll(".thumb").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.image === image.token)));
    offer(image); tool("pan"); sliders();
    if (!before) { const [wide, high] = list[0].size; view.fit(wide, high); }
    rest(); redraw();
  }

  function offer(image) {
    const button = one('[data-toggle="heat"]');
    if (!button) return;
    button.hidden = !image.heat.length;
    maps.hidden = image.heat.length < 2 || !state.shown.heat;
    maps.replaceChildren(...image.heat.map(({ title }, at) => new Option(title, String(at))));
    if (state.shown.heat) heat();
  }

  function heat() {
    const found = view.image.heat[Number(maps.value) || 0], mine = {};
    // Another image, another map or a hidden one since then: the answer comes too late.
    const current = () => heating === mine && state.shown.heat;
    heating = mine; state.heat = null;
    if (state.shown.heat && found) load(found.address).then((picture) => { if (current()) { state.heat = { kind: found.kind, picture }; redraw(); } }).catch(() => { if (current()) complain("The heat map cannot be shown."); });
    maps.hidden = view.image.heat.length < 2 || !state.shown.heat;
    redraw();
  }

  function toggle(name) {
    const button = one(`[data-toggle="${name}"]`);
    if (!button || button.hidden) return;
    state.shown[name] = !state.shown[name];
    button.setAttribute("aria-pressed", String(state.shown[name]));
    if (name === "heat") heat(); else redraw();
  }

  function tool(name) {
    if (busy || (name === "edit" && !one('[data-tool="edit"]'))) return;
    if (name === "edit" && !state.editor) { state.editor = new Editor(view.image); key = random(); mode(state.editor.mode); }
    if (name !== "edit" && state.editor) { if (state.editor.changed) { say("Cancel the editor, or predict with its contour, first."); return; } state.editor = null; }
    state.tool = name;
    editing.hidden = !state.editor;
    each("[data-tool]", (button) => button.setAttribute("aria-pressed", String(button.dataset.tool === name)));
    list.forEach(({ canvas }) => canvas.classList.toggle("cross", name === "ruler" || name === "edit"));
    if (name !== "ruler") state.ruler = null;
    rest(); redraw();
  }

  function mode(name) {
    state.editor.mode = name;
    each("[data-edit]", (button) => button.setAttribute("aria-pressed", String(button.dataset.edit === name)));
    hint.textContent = HINTS[name];
    edited();
  }

  function edited() {
    const { editor } = state;
    if (!editor) return;
    one('[data-do="undo"]').disabled = busy || !editor.past.length;
    one('[data-do="redo"]').disabled = busy || !editor.future.length;
    one('[data-do="apply"]').disabled = busy || !editor.usable;
    const propose = one('[data-do="propose"]');
    if (propose) propose.disabled = busy;
    redraw();
  }

  function rest() {
    const image = view.image;
    say(`Image ${image.number}: ${image.columns} × ${image.rows} px · ${image.scale_words}`);
  }

  function sliders() {
    document.getElementById("level").value = view.level; document.getElementById("width").value = view.width;
    document.getElementById("opacity").value = Math.round(view.opacity * 100);
  }

  function random() { return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join(""); }

  // Who has signed in anew in another tab, with the same account, may go on here with the token of that session.
  async function again() {
    const answer = await fetch("/account", { credentials: "same-origin", redirect: "manual" });
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!answer.ok || !found.body.dataset.csrf || found.body.dataset.account !== document.body.dataset.account) return false;
    csrf = found.body.dataset.csrf;
    return true;
  }

  const post = (address, content) => fetch(address, {
    method: "POST", credentials: "same-origin", redirect: "error",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(content),
  });

  // A draft from software, into the editor: nothing is recorded. Undo takes it back.
  async function propose(remembered) {
    const { editor } = state;
    if (busy || !editor || !one('[data-do="propose"]')) return;
    const address = `/axillae/${token}/proposals/${view.image.token}`, content = editor.question();
    if (!remembered) editor.remember();
    busy = true; edited(); complain("");
    list.forEach(({ canvas }) => canvas.classList.add("busy"));
    say("Outlining \u2026");
    try {
      let answer = await post(address, content);
      if (answer.status === 403 && await again()) answer = await post(address, content);
      const told = await answer.json();
      if (state.editor !== editor) return;
      if (answer.ok) editor.propose(told.outlines); else { editor.undo(); editor.future = []; complain(told.message); }
      say(answer.ok ? told.message : "Your contour is as it was.");
    } catch {
      if (state.editor !== editor) return;
      editor.undo(); editor.future = [];
      complain("The server did not answer. Your contour is as it was.", [["Try again", () => propose(false)]]);
      say("No outline.");
    } finally {
      busy = false; list.forEach(({ canvas }) => canvas.classList.remove("busy")); edited();
    }
  }

  async function apply() {
    const { editor } = state;
    if (busy || !editor || !editor.usable) return;
    busy = true; edited(); complain("");
    list.forEach(({ canvas }) => canvas.classList.add("busy"));
    say("Predicting with the new contour …");
    try {
      const send = () => post(`/axillae/${token}/contours/${view.image.token}`, { seen, key, outlines: editor.lines, proposed: editor.proposed });
      let answer = await send();
      if (answer.status === 403 && await again()) answer = await send();
      const told = await answer.json();
      if (answer.ok) { renew(told); return; }
      if (answer.status === 409) {
        complain(told.message, [["Record it all the same", () => { seen = told.version; key = random(); apply(); }], ["Leave it, open the case as it is now", () => location.reload()]]);
      } else { if (answer.status < 500) key = random(); complain(told.message); }
      say(answer.status < 500 ? "Not recorded. Your contour is still here." : "Not known whether it was recorded.");
    } catch {
      // The same key again: if the first request did arrive, it is recorded once.
      complain("The server did not answer. Your contour is still here: try again, it is recorded only once.", [["Try again", apply]]);
      say("Not known whether it was recorded.");
    } finally {
      busy = false; list.forEach(({ canvas }) => canvas.classList.remove("busy")); edited();
    }
  }

  function renew(told) {
    const typed = {};
    document.querySelectorAll("#review textarea, #review input:not([type=hidden]), #review select").forEach((field) => { const form = field.closest("form").querySelector("[name=act]").value; if (field.value) typed[`${form} ${field.name}`] = field.value; });
    const opened = [...document.querySelectorAll("#review details[open] [name=act]")].map((field) => field.value);
    const current = view.image.token;
    ["alerts", "side", "below", "status", "strip"].forEach((name) => { const place = document.getElementById(name); if (place && told[name] !== undefined) { place.innerHTML = told[name]; if (window.htmx) window.htmx.process(place); } });
    document.querySelectorAll("#review textarea, #review input:not([type=hidden]), #review select").forEach((field) => { const form = field.closest("form").querySelector("[name=act]").value; const text = typed[`${form} ${field.name}`]; if (text) field.value = text; });
    document.querySelectorAll("#review details").forEach((one) => { const field = one.querySelector("[name=act]"); if (field && opened.includes(field.value)) one.open = true; });
    seen = told.version; data = JSON.parse(told.viewer);
    busy = false; state.editor = null;
    show(data.images.find((image) => image.token === current) || data.images[0], true);
    say(told.message);
  }

  function attach(pane) {
    const { canvas } = pane;
    const where = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    const place = (point) => view.toScreen(point, ...pane.size);
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); view.zoom(Math.exp(-event.deltaY * 0.0015), ...where(event), ...pane.size); redraw(); }, { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => { if (!state.editor) { view.fit(...pane.size); redraw(); } });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId); pointers.set(event.pointerId, where(event));
      const at = where(event), point = view.toPicture(...at, ...pane.size);
      if (pointers.size === 2) { if (state.editor) state.editor.leave(place); drag = { kind: "pinch" }; return; }
      const kind = event.button === 2 || event.shiftKey || state.tool === "window" ? "window" : event.button === 1 ? "pan" : state.tool;
      drag = { kind, at };
      if (kind === "ruler") state.ruler = [point, point];
      if (kind === "edit" && state.editor && !busy) state.editor.down(at, point, place);
      edited(); redraw();
    });
    canvas.addEventListener("pointermove", (event) => {
      const at = where(event), point = view.toPicture(...at, ...pane.size);
      state.pointer = { pane, at: point };
      if (pointers.has(event.pointerId) && drag) {
        const was = pointers.get(event.pointerId), dx = at[0] - was[0], dy = at[1] - was[1];
        if (drag.kind === "pinch" && pointers.size === 2) {
          const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
          const before = Math.hypot(was[0] - other[0], was[1] - other[1]), after = Math.hypot(at[0] - other[0], at[1] - other[1]);
          view.zoom(after / (before || 1), (at[0] + other[0]) / 2, (at[1] + other[1]) / 2, ...pane.size); view.move(dx / 2, dy / 2);
        } else if (drag.kind === "pan") view.move(dx, dy);
        else if (drag.kind === "window") { view.width = Math.min(510, Math.max(2, view.width + dx)); view.level = Math.min(255, Math.max(0, view.level - dy)); sliders(); }
        else if (drag.kind === "ruler") { state.ruler[1] = point; say(`Ruler: ${view.words(view.distance(...state.ruler))}`); }
        else if (drag.kind === "edit" && state.editor && !busy) { state.editor.drag(at, point, place); edited(); }
        pointers.set(event.pointerId, at);
      }
      redraw();
    });
    const end = (event) => {
      pointers.delete(event.pointerId);
      if (drag && drag.kind === "edit" && state.editor && !busy) { if (state.editor.up(place)) propose(true); edited(); }
      if (!pointers.size) drag = null;
      redraw();
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => { state.pointer = null; redraw(); });
    canvas.addEventListener("keydown", (event) => {
      if (state.editor && !busy && state.editor.key(event)) { event.preventDefault(); event.stopPropagation(); edited(); return; }
      const by = { ArrowUp: [0, 40], ArrowDown: [0, -40], ArrowLeft: [40, 0], ArrowRight: [-40, 0] }[event.key];
      if (by && !event.ctrlKey && !event.altKey && !event.metaKey) { event.preventDefault(); view.move(...by); redraw(); }
    });
  }

  const zoom = (factor) => { const [wide, high] = list[0].size; view.zoom(factor, wide / 2, high / 2, wide, high); redraw(); };
  const acts = {
    in: () => zoom(1.25), out: () => zoom(0.8),
    fit: () => { view.fit(...list[0].size); view.level = 128; view.width = 255; sliders(); redraw(); },
    undo: () => { state.editor.undo(); edited(); }, redo: () => { state.editor.redo(); edited(); },
    cancel: () => { if (!busy) { state.editor = null; complain(""); tool("pan"); list[0].canvas.focus(); } }, apply, propose: () => propose(false),
  };
  root.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (!button) return;
    const { toggle: name, tool: wanted, edit, do: act } = button.dataset;
    if (name) toggle(name); else if (wanted) { tool(wanted); if (wanted === "edit") list[0].canvas.focus(); } else if (edit) mode(edit); else if (act) acts[act]();
  });
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest(".thumb") : null;
    if (!button || busy) return;
    if (state.editor && state.editor.changed) { say("Cancel the editor, or predict with its contour, first."); return; }
    show(data.images.find((image) => image.token === button.dataset.image), false);
  });
  for (const [id, change] of [["level", (value) => { view.level = value; }], ["width", (value) => { view.width = value; }], ["opacity", (value) => { view.opacity = value / 100; }]]) {
    document.getElementById(id).addEventListener("input", (event) => { change(Number(event.target.value)); redraw(); });
  }
  if (maps) maps.addEventListener("change", heat);

  const keys = { c: () => toggle("contour"), r: () => toggle("ring"), d: () => toggle("calipers"), h: () => toggle("heat"), p: () => tool("pan"), w: () => tool("window"), m: () => tool("ruler"), e: () => { tool("edit"); list[0].canvas.focus(); }, "+": acts.in, "=": acts.in, "-": acts.out, 0: acts.fit };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey) return;
    const writing = event.target instanceof Element && event.target.closest("input:not([type=range]):not([type=checkbox]), textarea, select");
    if (writing) return;
    if (state.editor && event.key === "Escape") { acts.cancel(); return; }
    if (state.editor && event.key === "Enter" && event.ctrlKey) { apply(); return; }
    if (event.ctrlKey || event.metaKey || !window.usdlr.keys()) return;
    const mine = { b: () => mode("box"), s: () => mode("inside"), x: () => mode("outside"), o: () => propose(false) }[event.key];
    if (state.editor && mine && one('[data-do="propose"]')) { event.preventDefault(); mine(); return; }
    const number = Number(event.key);
    if (number >= 1 && data.images[number - 1] && !(state.editor && state.editor.changed)) { show(data.images[number - 1], false); return; }
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  new ResizeObserver(redraw).observe(panes);
  window.addEventListener("beforeunload", (event) => { if (state.editor && state.editor.changed) event.preventDefault(); });
  if (data.images.length) show(data.images[0], false);
})();

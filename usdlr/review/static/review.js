// What every page shares: keys, a guard against sending twice, the list's buttons. Works without it, only slower.
"use strict";
(() => {
  const STORED = "usdlr-single-keys";
  const remembered = () => { try { return localStorage.getItem(STORED) !== "off"; } catch { return true; } };
  const remember = (on) => { try { localStorage.setItem(STORED, on ? "on" : "off"); } catch { /* a browser that stores nothing */ } };
  let single = remembered();
  window.usdlr = { keys: () => single };

  const typing = (target) => target instanceof Element && target.closest("input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");
  const go = (selector) => { const link = document.querySelector(selector); if (link) { link.click(); return true; } return false; };
  const rows = () => [...document.querySelectorAll(".worklist tbody a")];

  function step(by) {
    const all = rows();
    if (!all.length) return false;
    const at = all.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
    all[next].focus();
    all[next].scrollIntoView({ block: "nearest" });
    return true;
  }

  const keys = {
    j: () => step(1) || go('a[rel="next"]'),
    k: () => step(-1) || go('a[rel="prev"]'),
    n: () => go("#next"),
    u: () => document.querySelector(".axilla") && go('.turn a[href="/"]'),
    v: () => { const panel = document.querySelector("#review button, #review select"); if (panel) { panel.focus(); panel.scrollIntoView({ block: "center" }); } return Boolean(panel); },
    "/": () => { const search = document.getElementById("search"); if (search) { search.focus(); search.select(); } return Boolean(search); },
    "?": () => { location.href = "/help#keys"; return true; },
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && document.activeElement && document.activeElement.id === "search") { event.preventDefault(); document.activeElement.blur(); return; }
    if (!single || typing(event.target)) return;
    const found = keys[event.key];
    if (found && found()) event.preventDefault();
  });

  // The buttons of the list sit outside its form; htmx would not send their values.
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest('button[form="filters"]') : null;
    if (!button || !window.htmx) return;
    event.preventDefault();
    window.htmx.ajax("POST", "/worklist", { source: "#filters", target: "#list", swap: "outerHTML", values: { [button.name]: button.value } });
  });

  // A second click must not look like a second wish; the server counts a request once in any case.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.id === "filters" || event.defaultPrevented) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    if (form.getAttribute("action") === "/admin/exports") return;
    form.dataset.sent = "1";
    setTimeout(() => form.querySelectorAll("button").forEach((one) => { one.disabled = true; }), 0);
  });
  // Coming back with the browser's own button shows the page as it was left: forms must work again.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  const here = location.pathname;
  document.querySelectorAll(".tabs a").forEach((link) => { if (here.startsWith(link.getAttribute("href"))) link.setAttribute("aria-current", "page"); });

  const shortcuts = document.getElementById("shortcuts");
  if (shortcuts) {
    const show = () => { shortcuts.setAttribute("aria-pressed", String(single)); shortcuts.textContent = `Single-key shortcuts: ${single ? "on" : "off"}`; };
    shortcuts.addEventListener("click", () => { single = !single; remember(single); show(); });
    show();
  }
})();

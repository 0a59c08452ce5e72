// The contour in the hand: points that move, are added or erased, and a line drawn freehand. Nothing is sent from here.
"use strict";
(() => {
  const { path } = window.usdlrViewer;
  const HIT = 10;
  const near = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

  // Douglas and Peucker: fewer handles, none of the line further off than `within` pixels of the picture.
  function simpler(points, within) {
    if (points.length < 8) return points.map((point) => [...point]);
    const keep = new Set([0, points.length - 1]), open = [[0, points.length - 1]];
    // A closed line has no ends: the point farthest from the first splits it.
    const far = points.reduce((best, point, at) => (near(point, points[0]) > near(points[best], points[0]) ? at : best), 0);
    keep.add(far); open.splice(0, 1, [0, far], [far, points.length - 1]);
    while (open.length) {
      const [from, to] = open.pop(), a = points[from], b = points[to], long = near(a, b) || 1e-9;
      let worst = 0, at = -1;
      for (let index = from + 1; index < to; index += 1) {
        const off = Math.abs((b[0] - a[0]) * (a[1] - points[index][1]) - (a[0] - points[index][0]) * (b[1] - a[1])) / long;
        if (off > worst) { worst = off; at = index; }
      }
      if (worst > within) { keep.add(at); open.push([from, at], [at, to]); }
    }
    return [...keep].sort((a, b) => a - b).map((index) => [...points[index]]);
  }

  class Editor {
    constructor(image) {
      this.image = image; this.mode = image.contour.length ? "move" : "draw";
      this.lines = image.contour.map((points) => simpler(points, 0.6));
      this.start = JSON.stringify(this.lines);
      // What the software is shown: a box (two corners), lines inside, lines outside. Proposed: whether it drew what stands here.
      this.pointed = { box: null, inside: [], outside: [] }; this.proposed = false;
      this.past = []; this.future = [];
      this.chosen = this.lines.length ? [0, 0] : null; this.stroke = null; this.held = null;
    }
    get changed() { return JSON.stringify(this.lines) !== this.start; }
    get usable() { return this.changed && this.lines.length > 0 && this.lines.every((points) => points.length >= 3); }
    get asks() { return this.mode === "box" || this.mode === "inside" || this.mode === "outside"; }
    now() { return JSON.stringify([this.lines, this.pointed, this.proposed]); }
    remember() { this.past.push(this.now()); if (this.past.length > 200) this.past.shift(); this.future = []; }
    undo() { if (this.past.length) { this.future.push(this.now()); this.take(this.past.pop()); } }
    redo() { if (this.future.length) { this.past.push(this.now()); this.take(this.future.pop()); } }
    take(text) { [this.lines, this.pointed, this.proposed] = JSON.parse(text); this.settle(); }

    // What to ask the software: without a box of the reader's, the place of the outline that stands here.
    question() {
      const { box, inside, outside } = this.pointed, points = this.lines.flat();
      if (box || !points.length) return { box, inside, outside };
      const rows = points.map(([row]) => row), columns = points.map(([, column]) => column);
      const [top, left, bottom, right] = [Math.min(...rows) - 0.5, Math.min(...columns) - 0.5, Math.max(...rows) + 0.5, Math.max(...columns) + 0.5];
      // A reader who points elsewhere means another lesion than the one that is outlined.
      const here = ([row, column]) => row >= top && row <= bottom && column >= left && column <= right;
      return { box: inside.length && !inside.flat().some(here) ? null : [[top, left], [bottom, right]], inside, outside };
    }
    propose(outlines) { this.lines = outlines.map((points) => simpler(points, 0.6)); this.proposed = true; this.chosen = null; this.settle(); }
    settle() {
      this.lines = this.lines.filter((points) => points.length);
      if (!this.lines.length) { this.chosen = null; return; }
      const [at, index] = this.chosen || [0, 0], which = Math.min(at, this.lines.length - 1);
      this.chosen = [which, Math.min(index, this.lines[which].length - 1)];
    }
    inside([row, col]) { return [Math.min(this.image.rows - 1, Math.max(0, row)), Math.min(this.image.columns - 1, Math.max(0, col))]; }

    nearest(screen, place) {
      let best = null, least = Infinity;
      this.lines.forEach((points, at) => points.forEach((point, index) => {
        const off = near(place(point), screen);
        if (off < least) { least = off; best = [at, index]; }
      }));
      return [best, least];
    }
    // The stretch of the outline that lies closest, to put a new point on it.
    stretch(screen, place) {
      let best = null, least = Infinity;
      this.lines.forEach((points, at) => points.forEach((point, index) => {
        const a = place(point), b = place(points[(index + 1) % points.length]), long = near(a, b) ** 2 || 1e-9;
        const share = Math.min(1, Math.max(0, ((screen[0] - a[0]) * (b[0] - a[0]) + (screen[1] - a[1]) * (b[1] - a[1])) / long));
        const off = near(screen, [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])]);
        if (off < least) { least = off; best = [at, index]; }
      }));
      return [best, least];
    }

    down(screen, point, place) {
      const [found, off] = this.nearest(screen, place);
      if (this.asks) { this.remember(); this.stroke = [this.inside(point)]; return; }
      if (this.mode === "draw") { this.stroke = [this.inside(point)]; return; }
      if (this.mode === "erase") { this.remember(); this.held = "erase"; this.rub(screen, place); return; }
      if (this.mode === "add") {
        const [on] = this.stretch(screen, place);
        if (!on) return;
        this.remember(); this.lines[on[0]].splice(on[1] + 1, 0, this.inside(point));
        this.chosen = [on[0], on[1] + 1]; this.held = this.chosen; return;
      }
      if (found && off <= HIT) { this.remember(); this.chosen = found; this.held = found; }
    }
    drag(screen, point, place) {
      if (this.stroke) {
        if (near(place(this.stroke[this.stroke.length - 1]), screen) >= 4) this.stroke.push(this.inside(point));
      } else if (this.held === "erase") this.rub(screen, place);
      else if (this.held) this.lines[this.held[0]][this.held[1]] = this.inside(point);
    }
    up(place) {
      const stroke = this.stroke, asks = Boolean(stroke) && this.asks;
      this.stroke = null; this.held = null;
      if (asks) return this.shown(stroke);
      if (stroke && stroke.length >= 3) this.drawn(stroke, place);
      this.settle();
      return false;
    }
    // A second finger means the picture, not the lesion.
    leave(place) {
      if (!(this.stroke && this.asks)) { this.up(place); return; }
      this.stroke = null; this.past.pop();
    }
    // Takes over what was pointed at; whether the software is to be asked now.
    shown(stroke) {
      if (this.mode !== "box") { this.pointed[this.mode].push(stroke); return true; }
      const from = stroke[0], to = stroke[stroke.length - 1];
      if (Math.abs(from[0] - to[0]) < 2 || Math.abs(from[1] - to[1]) < 2) { this.past.pop(); return false; }
      // Another box means another lesion: lines that were drawn for the one before say nothing of it.
      this.pointed = { box: [from, to], inside: [], outside: [] };
      return true;
    }
    rub(screen, place) {
      this.lines = this.lines.map((points) => (points.length <= 3 ? points : points.filter((point) => near(place(point), screen) > HIT)));
      this.settle();
    }
    // A line that begins and ends on the outline replaces the shorter part between; any other is a new outline.
    drawn(stroke, place) {
      const [from, offFrom] = this.stretch(place(stroke[0]), place), [to, offTo] = this.stretch(place(stroke[stroke.length - 1]), place);
      const ends = near(place(stroke[0]), place(stroke[stroke.length - 1]));
      this.remember();
      if (from && to && from[0] === to[0] && offFrom <= 14 && offTo <= 14 && ends > 14) {
        const points = this.lines[from[0]], count = points.length, walk = (start, end) => {
          const out = []; let at = (start + 1) % count;
          for (let steps = 0; steps < count; steps += 1) { out.push(points[at]); if (at === end) break; at = (at + 1) % count; }
          return out;
        };
        const long = (part) => part.slice(1).reduce((sum, point, at) => sum + near(point, part[at]), 0);
        // What stays runs from where the stroke ends round to where it began, one way or the other.
        const one = from[1] === to[1] ? [] : walk(to[1], from[1]), other = from[1] === to[1] ? [] : walk(from[1], to[1]).reverse();
        const kept = from[1] === to[1] ? walk(to[1], to[1]) : long(one) >= long(other) ? one : other;
        this.lines[from[0]] = [...stroke, ...kept];
      } else if (stroke.length >= 8) { this.lines = [simpler(stroke, 0.3)]; this.chosen = [0, 0]; } else this.past.pop();
    }

    key(event) {
      const step = event.shiftKey ? 5 : 1;
      const by = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] }[event.key];
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { if (event.shiftKey) this.redo(); else this.undo(); return true; }
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "y") { this.redo(); return true; }
      if (!this.chosen || event.ctrlKey || event.metaKey || event.altKey) return false;
      const [at, index] = this.chosen, points = this.lines[at];
      if (by) { this.remember(); points[index] = this.inside([points[index][0] + by[0], points[index][1] + by[1]]); return true; }
      if (event.key === "]" || event.key === "[") {
        const next = index + (event.key === "]" ? 1 : -1);
        if (next >= 0 && next < points.length) this.chosen = [at, next];
        else { const line = (at + Math.sign(next || -1) + this.lines.length) % this.lines.length; this.chosen = [line, next < 0 ? this.lines[line].length - 1 : 0]; }
        return true;
      }
      if (event.key === "Insert" || event.key === "i") {
        const after = points[(index + 1) % points.length];
        this.remember(); points.splice(index + 1, 0, [(points[index][0] + after[0]) / 2, (points[index][1] + after[1]) / 2]); this.chosen = [at, index + 1];
        return true;
      }
      if ((event.key === "Delete" || event.key === "Backspace") && points.length > 3) { this.remember(); points.splice(index, 1); this.settle(); return true; }
      return false;
    }

    draw(context, place, line, ink) {
      this.lines.forEach((points, at) => {
        context.beginPath(); path(context, points, place, true); line(context, ink.draft, 1.8, this.changed ? [10, 3] : []);
        points.forEach((point, index) => {
          const [x, y] = place(point), chosen = this.chosen && this.chosen[0] === at && this.chosen[1] === index;
          context.beginPath(); context.arc(x, y, chosen ? 6 : 3.5, 0, 2 * Math.PI);
          context.fillStyle = chosen ? "#fff" : ink.draft; context.fill(); context.lineWidth = 1.5; context.strokeStyle = "#000"; context.stroke();
        });
      });
      const corners = this.mode === "box" && this.stroke ? [this.stroke[0], this.stroke[this.stroke.length - 1]] : this.pointed.box;
      if (corners) {
        const [[top, left], [bottom, right]] = corners;
        context.beginPath(); path(context, [[top, left], [top, right], [bottom, right], [bottom, left]], place, true); line(context, "#fff", 1.4, [4, 4]);
      }
      // Plus and minus say which lines are inside: colours alone would not be seen by all.
      const marks = (lines, sign, dashes) => lines.forEach((points) => {
        const [x, y] = place(points[0]);
        context.beginPath(); path(context, points, place, false); line(context, "#fff", 3, dashes);
        context.beginPath(); context.arc(x, y, 7, 0, 2 * Math.PI); context.fillStyle = "#000"; context.fill();
        context.beginPath(); context.moveTo(x - 4, y); context.lineTo(x + 4, y);
        if (sign === "+") { context.moveTo(x, y - 4); context.lineTo(x, y + 4); }
        context.lineWidth = 2; context.strokeStyle = "#fff"; context.setLineDash([]); context.stroke();
      });
      marks(this.pointed.inside, "+", []); marks(this.pointed.outside, "\u2212", [5, 4]);
      if (this.stroke && this.mode !== "box") { context.beginPath(); path(context, this.stroke, place, false); line(context, "#fff", 2); }
    }
  }
  window.usdlrViewer.Editor = Editor;
})();

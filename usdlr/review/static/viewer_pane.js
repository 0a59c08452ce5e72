// One picture on a canvas: zoom, brightness, outlines, ruler. All panes of an image share one view, so they move together.
"use strict";
(() => {
  const INK = { contour: "#f0e442", ring: "#56b4e9", calipers: "#ffffff", ruler: "#ffffff", draft: "#f0e442" };

  // Where the picture lies: `scale` is screen pixels per column, `cx` and `cy` the picture's point in the middle, in columns.
  class View {
    constructor(image) {
      this.image = image;
      this.calibrated = image.row_mm > 0 && image.col_mm > 0;
      this.ratio = this.calibrated ? image.row_mm / image.col_mm : 1;
      this.level = 128; this.width = 255; this.opacity = 0.65;
      this.scale = 0; this.cx = image.columns / 2; this.cy = (image.rows * this.ratio) / 2;
    }
    fitting(wide, high) { return Math.min(wide / this.image.columns, high / (this.image.rows * this.ratio)); }
    fit(wide, high) {
      this.scale = this.fitting(wide, high);
      this.cx = this.image.columns / 2; this.cy = (this.image.rows * this.ratio) / 2;
    }
    // A point is [row, column]; the centre of the first pixel is at (0, 0).
    toScreen([row, col], wide, high) {
      return [(col + 0.5 - this.cx) * this.scale + wide / 2, ((row + 0.5) * this.ratio - this.cy) * this.scale + high / 2];
    }
    toPicture(x, y, wide, high) {
      return [((y - high / 2) / this.scale + this.cy) / this.ratio - 0.5, (x - wide / 2) / this.scale + this.cx - 0.5];
    }
    zoom(factor, x, y, wide, high) {
      const least = this.fitting(wide, high) * 0.5;
      const next = Math.min(40, Math.max(least, this.scale * factor));
      this.cx += (x - wide / 2) * (1 / this.scale - 1 / next);
      this.cy += (y - high / 2) * (1 / this.scale - 1 / next);
      this.scale = next;
    }
    move(dx, dy) { this.cx -= dx / this.scale; this.cy -= dy / this.scale; }
    // Millimetres where there are any, else columns.
    distance(a, b) {
      const rows = (a[0] - b[0]) * (this.calibrated ? this.image.row_mm : 1);
      const cols = (a[1] - b[1]) * (this.calibrated ? this.image.col_mm : 1);
      return Math.hypot(rows, cols);
    }
    words(length) { return this.calibrated ? `${length.toFixed(1)} mm` : `${length.toFixed(0)} px, not calibrated`; }
  }

  function path(context, points, place, closed) {
    points.forEach((point, at) => { const [x, y] = place(point); if (at) context.lineTo(x, y); else context.moveTo(x, y); });
    if (closed) context.closePath();
  }

  // Every line is drawn twice, dark below, so that it is seen on white and on black tissue.
  function line(context, colour, width, dashes) {
    context.setLineDash([]); context.lineWidth = width + 2; context.strokeStyle = "rgba(0,0,0,.65)"; context.stroke();
    context.setLineDash(dashes || []); context.lineWidth = width; context.strokeStyle = colour; context.stroke();
    context.setLineDash([]);
  }

  function label(context, text, x, y, align) {
    context.font = "600 12px system-ui, sans-serif"; context.textAlign = align || "left"; context.textBaseline = "middle";
    context.lineWidth = 4; context.lineJoin = "round"; context.strokeStyle = "rgba(0,0,0,.85)"; context.strokeText(text, x, y);
    context.fillStyle = "#fff"; context.fillText(text, x, y);
  }

  class Pane {
    constructor(kind, title, view, state) {
      this.kind = kind; this.view = view; this.state = state;
      this.figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = title;
      this.canvas = document.createElement("canvas");
      this.canvas.tabIndex = 0;
      this.canvas.setAttribute("role", "application");
      this.canvas.setAttribute("aria-label", `${title}. Arrow keys move the picture, plus and minus change its size, zero shows all of it.`);
      this.figure.append(caption, this.canvas);
      this.grey = null; this.overlay = null; this.tuned = null; this.tunedFor = "";
    }
    get size() { return [this.canvas.clientWidth, this.canvas.clientHeight]; }

    setGrey(picture) {
      const work = document.createElement("canvas");
      work.width = picture.naturalWidth; work.height = picture.naturalHeight;
      const context = work.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      this.grey = context.getImageData(0, 0, work.width, work.height);
      this.tuned = work; this.tunedFor = "";
    }

    tune() {
      const { level, width } = this.view, wanted = `${level} ${width}`;
      if (!this.grey || this.tunedFor === wanted) return;
      const table = new Uint8ClampedArray(256);
      for (let value = 0; value < 256; value += 1) table[value] = ((value - (level - width / 2)) / width) * 255;
      const from = this.grey.data, out = new ImageData(this.grey.width, this.grey.height), to = out.data;
      for (let at = 0; at < from.length; at += 4) { const shade = table[from[at]]; to[at] = shade; to[at + 1] = shade; to[at + 2] = shade; to[at + 3] = 255; }
      this.tuned.getContext("2d").putImageData(out, 0, 0);
      this.tunedFor = wanted;
    }

    draw() {
      const [wide, high] = this.size;
      if (!wide || !high) return;
      const dense = window.devicePixelRatio || 1;
      if (this.canvas.width !== Math.round(wide * dense) || this.canvas.height !== Math.round(high * dense)) {
        this.canvas.width = Math.round(wide * dense); this.canvas.height = Math.round(high * dense);
      }
      const context = this.canvas.getContext("2d");
      context.setTransform(dense, 0, 0, dense, 0, 0);
      context.fillStyle = "#0b0c0e"; context.fillRect(0, 0, wide, high);
      this.tune();
      const { image, scale, ratio, opacity } = this.view;
      const [x, y] = this.view.toScreen([-0.5, -0.5], wide, high);
      const place = (point) => this.view.toScreen(point, wide, high);
      context.imageSmoothingEnabled = scale < 3; context.imageSmoothingQuality = "high";
      if (this.tuned) context.drawImage(this.tuned, x, y, image.columns * scale, image.rows * ratio * scale);
      if (this.overlay) { context.globalAlpha = opacity; context.drawImage(this.overlay, x, y, image.columns * scale, image.rows * ratio * scale); context.globalAlpha = 1; }
      const heat = this.state.heat && this.state.heat.kind === this.kind ? this.state.heat.picture : null;
      if (heat) { context.globalAlpha = opacity; context.drawImage(heat, x, y, image.columns * scale, image.rows * ratio * scale); context.globalAlpha = 1; }
      this.outlines(context, place);
      if (this.state.editor) this.state.editor.draw(context, place, line, INK);
      this.rulers(context, place);
      this.cross(context, place, wide, high);
      this.bars(context, wide, high);
    }

    outlines(context, place) {
      const { image } = this.view, { shown } = this.state;
      const all = (lines, closed, colour, width, dashes) => lines.forEach((points) => { context.beginPath(); path(context, points, place, closed); line(context, colour, width, dashes); });
      if (shown.ring) all(image.ring, true, INK.ring, 1.5, [7, 5]);
      if (shown.contour && !this.state.editor) all(image.contour, true, INK.contour, 1.8);
      if (shown.calipers) {
        image.calipers.forEach((ends, at) => {
          if (ends.length !== 2) return;
          const [a, b] = ends.map(place), long = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
          const across = [(-(b[1] - a[1]) / long) * 6, ((b[0] - a[0]) / long) * 6];
          context.beginPath(); context.moveTo(...a); context.lineTo(...b);
          for (const end of [a, b]) { context.moveTo(end[0] - across[0], end[1] - across[1]); context.lineTo(end[0] + across[0], end[1] + across[1]); }
          line(context, INK.calipers, 1.4);
          // At the end that lies lower, and away from the line, so that the two labels keep apart.
          const low = a[1] > b[1] ? a : b;
          label(context, image.caliper_words[at] || "", low[0] + 10, low[1] + 12);
        });
      }
    }

    rulers(context, place) {
      const ruler = this.state.ruler;
      if (!ruler) return;
      const a = place(ruler[0]), b = place(ruler[1]);
      context.beginPath(); context.moveTo(...a); context.lineTo(...b);
      for (const end of [a, b]) { context.moveTo(end[0] - 5, end[1]); context.lineTo(end[0] + 5, end[1]); context.moveTo(end[0], end[1] - 5); context.lineTo(end[0], end[1] + 5); }
      line(context, INK.ruler, 1.5, [2, 3]);
      label(context, this.view.words(this.view.distance(...ruler)), (a[0] + b[0]) / 2 + 8, (a[1] + b[1]) / 2 - 12);
    }

    cross(context, place, wide, high) {
      const { pointer } = this.state;
      if (!pointer || pointer.pane === this) return;
      const [x, y] = place(pointer.at);
      if (x < 0 || y < 0 || x > wide || y > high) return;
      context.beginPath(); context.moveTo(x - 9, y); context.lineTo(x - 3, y); context.moveTo(x + 3, y); context.lineTo(x + 9, y);
      context.moveTo(x, y - 9); context.lineTo(x, y - 3); context.moveTo(x, y + 3); context.lineTo(x, y + 9);
      line(context, "#fff", 1.3);
    }

    bars(context, wide, high) {
      const { image } = this.view;
      if (this.view.calibrated) {
        const perMm = this.view.scale / image.col_mm;
        const long = [1, 2, 5, 10, 20, 50].find((mm) => mm * perMm > 48) || 50;
        context.beginPath(); context.moveTo(12, high - 22); context.lineTo(12, high - 14); context.lineTo(12 + long * perMm, high - 14); context.lineTo(12 + long * perMm, high - 22);
        line(context, "#fff", 1.5);
        label(context, `${long} mm`, 12 + (long * perMm) / 2, high - 27, "center");
      } else label(context, "Not calibrated: no millimetres", 12, high - 16);
      if (this.overlay && image.colours.length && this.kind === "elasto") {
        const tall = Math.min(150, high - 90), top = 34, left = wide - 22;
        const shades = context.createLinearGradient(0, top + tall, 0, top);
        image.colours.forEach((colour, at) => shades.addColorStop(at / (image.colours.length - 1), colour));
        context.fillStyle = shades; context.fillRect(left, top, 10, tall);
        context.strokeStyle = "#fff"; context.lineWidth = 1; context.strokeRect(left - 0.5, top - 0.5, 11, tall + 1);
        label(context, `${image.limit} ${image.unit}`, left - 6, top + 4, "right");
        label(context, `0 ${image.unit}`, left - 6, top + tall - 4, "right");
      }
    }
  }
  window.usdlrViewer = { View, Pane, path };
})();

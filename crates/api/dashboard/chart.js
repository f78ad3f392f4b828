// Series over time, drawn with uPlot.

import uPlot from "./vendor/uPlot.esm.js";
import { el, swatch } from "./dom.js";
import { nowS, shownCompact, shownNumber, shownTime, zonedDate } from "./time.js";

const HEIGHT_MIN = 220;
const HEIGHT_MAX = 440;

/** Single points are seen only with a dot. */
const DOTS_BELOW = 50;

/** Longer words of a mark are in the list below the graph. */
const MARK_CHARACTERS_MAX = 40;

const SELECTION_PX_MIN = 6;

/** Lines in one tooltip: more cover the graph. */
const TOLD_MAX = 12;

export function colors() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    series: Array.from({ length: 8 }, (_, at) => of(`--series-${at + 1}`)),
    text: of("--muted"), grid: of("--grid"), partial: of("--partial"), mark: of("--mark"), accent: of("--accent"),
  };
}

export function axis(palette, more) {
  return {
    stroke: palette.text, font: "12px system-ui, sans-serif",
    grid: { stroke: palette.grid, width: 1 }, ticks: { stroke: palette.grid, width: 1 }, ...more,
  };
}

export function sizeOf(root) {
  const height = Math.min(HEIGHT_MAX, Math.max(HEIGHT_MIN, Math.round(window.innerHeight * 0.5)));
  return { width: Math.max(280, root.clientWidth), height };
}

/** Puts `tip` beside a place of the plot: on its right where there is room, else on its left. */
export function placeTip(tip, plot, left, top) {
  const { offsetLeft, offsetTop, clientWidth } = plot.over;
  const room = clientWidth - left > tip.offsetWidth + 24;
  const x = offsetLeft + (room ? left + 16 : Math.max(0, left - tip.offsetWidth - 16));
  tip.style.transform = `translate(${Math.round(x)}px, ${Math.round(offsetTop + top)}px)`;
}

export class Chart {
  /** `onZoom(fromS, untilS)` gets a range that was dragged over. */
  constructor(root, { onZoom }) {
    this.root = root;
    this.onZoom = onZoom;
    this.tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    // Beside the graph: what lies in it is told to nobody.
    this.spoken = el("p", { class: "unseen", id: `${root.id}-told`, "aria-live": "polite" });
    root.after(this.spoken);
    root.tabIndex = 0;
    // Not an image: screen readers would keep the arrow keys to themselves.
    root.setAttribute("role", "application");
    root.setAttribute("aria-roledescription", "graph");
    root.addEventListener("keydown", (event) => this.#key(event));
    root.addEventListener("blur", () => this.#leave());
    new ResizeObserver(() => this.plot?.setSize(sizeOf(root))).observe(root);
  }

  /**
   * Draws `model`: `{from, until, stepName, open, ends(index), times, lines: [{label, color, dash, values, drawn, fill, show}], marks}`;
   * buckets from `open` on may still grow.
   * The same lines with other values keep the plot, so that a live graph does not flicker.
   */
  show(model) {
    const before = this.model;
    this.model = model;
    // What may still grow is drawn by hand, dotted: a minute that has just begun is no drop.
    const shown = model.lines.filter(({ show }) => show);
    this.most = shown.reduce((most, { drawn }) => drawn.reduce((a, b) => Math.max(a, b ?? 0), most), 0);
    const closed = ({ drawn, period }) => drawn.map((value, index) => (period || index < model.open ? value : null));
    const data = [model.times, ...model.lines.map(closed)];
    const same = this.plot && before && shape(before) === shape(model);
    if (same) {
      this.plot.batch(() => {
        this.plot.setData(data, false);
        this.plot.setScale("x", { min: model.from, max: model.until });
      });
    } else {
      this.plot?.destroy();
      this.plot = new uPlot(this.#options(), data, this.root);
      this.root.append(this.tip);
    }
    this.root.setAttribute("aria-label", summary(model));
  }

  clear() {
    this.plot?.destroy();
    this.plot = null;
    this.model = null;
  }

  #options() {
    const palette = colors();
    const { lines, times } = this.model;
    return {
      ...sizeOf(this.root),
      tzDate: zonedDate,
      legend: { show: false },
      padding: [12, 12, 0, 0],
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 }, focus: { prox: 24 } },
      focus: { alpha: 0.35 },
      scales: {
        x: { time: true, range: () => [this.model.from, this.model.until] },
        y: { range: () => [0, this.most > 0 ? this.most * 1.06 : 1] },
      },
      axes: [
        axis(palette, { values: timeLabels }),
        axis(palette, { size: 64, values: (_, splits) => splits.map(shownCompact) }),
      ],
      series: [{}, ...lines.map((line) => ({
        label: line.label, show: line.show, stroke: line.color, width: 1.75, dash: line.dash, fill: line.fill,
        points: { show: times.length < DOTS_BELOW, size: 5, fill: line.color },
      }))],
      bands: lines.flatMap((line, at) => (line.above === undefined ? [] : [{ series: [at + 1, line.above + 1] }])),
      hooks: {
        drawClear: [(plot) => this.#shade(plot, palette)],
        draw: [(plot) => this.#dots(plot), (plot) => this.#mark(plot, palette)],
        setSelect: [(plot) => this.#selected(plot)],
        setCursor: [(plot) => this.#tell(plot)],
      },
    };
  }

  /** What may still grow lies under a shade. */
  #shade(plot, palette) {
    const { times, open } = this.model;
    if (open >= times.length) return;
    const begin = times[open];
    const { ctx, bbox } = plot;
    const left = plot.valToPos(begin, "x", true);
    ctx.save();
    ctx.fillStyle = palette.partial;
    ctx.fillRect(left, bbox.top, bbox.left + bbox.width - left, bbox.height);
    ctx.restore();
  }

  /** From the last bucket that is complete on. The one that goes on now is a dot by itself: it is no drop. */
  #dots(plot) {
    const { lines, times, open, ends } = this.model;
    const { ctx, bbox } = plot;
    const now = nowS();
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.lineWidth = 1.75 * devicePixelRatio;
    ctx.setLineDash([1.5 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const { drawn, color, period, show } of lines) {
      if (period || !show) continue;
      ctx.strokeStyle = color;
      ctx.beginPath();
      let joined = false;
      for (let index = Math.max(0, open - 1); index < times.length; index++) {
        if (drawn[index] === null) {
          joined = false;
          continue;
        }
        const point = [plot.valToPos(times[index], "x", true), plot.valToPos(drawn[index], "y", true)];
        const goesOn = ends(index) > now;
        if (joined && !goesOn) ctx.lineTo(...point);
        else ctx.moveTo(...point);
        if (index >= open && (goesOn || !joined)) dot(ctx, point, color);
        joined = true;
      }
      ctx.stroke();
    }
    ctx.restore();
  }

  #mark(plot, palette) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = palette.mark;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    let free = -Infinity;
    for (const { when, until, what: text } of this.model.marks) {
      const what = text.length > MARK_CHARACTERS_MAX ? `${text.slice(0, MARK_CHARACTERS_MAX)}…` : text;
      const x = plot.valToPos(when, "x", true);
      if (until !== null) {
        ctx.globalAlpha = 0.12;
        ctx.fillRect(x, bbox.top, plot.valToPos(until, "x", true) - x, bbox.height);
        ctx.globalAlpha = 1;
      }
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      // A label that another one covers would be read by nobody: the list of marks has them all.
      const width = ctx.measureText(what).width;
      const right = x + width + 8 * devicePixelRatio < bbox.left + bbox.width;
      if (x > free) {
        ctx.textAlign = right ? "left" : "right";
        ctx.fillText(what, x + (right ? 4 : -4) * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
        free = right ? x + width + 12 * devicePixelRatio : x;
      }
    }
    ctx.restore();
  }

  #selected(plot) {
    const { left, width } = plot.select;
    if (width < SELECTION_PX_MIN) return;
    const range = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onZoom(...range);
  }

  #tell(plot) {
    const { idx, left, top } = plot.cursor;
    if (idx === null || idx === undefined || left < 0) {
      this.tip.hidden = true;
      return;
    }
    const { times, lines, open } = this.model;
    const told = lines
      .filter(({ show }) => show)
      .map((line) => ({ line, value: line.values[idx] }))
      .sort((a, b) => (b.value ?? -1) - (a.value ?? -1));
    this.tip.replaceChildren(
      el("strong", {}, shownTime(times[idx]), idx >= open ? " · not complete" : ""),
      ...told.slice(0, TOLD_MAX).map(({ line, value }) =>
        el("div", {}, swatch(line), el("span", {}, line.label), el("b", {}, shownNumber(value)))),
      told.length > TOLD_MAX ? el("div", {}, `and ${told.length - TOLD_MAX} more`) : "",
    );
    this.tip.hidden = false;
    placeTip(this.tip, plot, left, Math.max(0, top - 20));
  }

  #key(event) {
    if (!this.plot || event.shiftKey || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    const { times, lines } = this.model;
    if (times.length === 0) return;
    const last = times.length - 1;
    const at = this.plot.cursor.left >= 0 ? this.plot.cursor.idx ?? last : last + 1;
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    const idx = Math.min(last, Math.max(0, next));
    this.plot.setCursor({ left: this.plot.valToPos(times[idx], "x"), top: 20 });
    const values = lines.filter(({ show }) => show).slice(0, TOLD_MAX).map((line) => `${line.label} ${shownNumber(line.values[idx])}`);
    this.spoken.textContent = `${shownTime(times[idx])}: ${values.join(", ")}${idx >= this.model.open ? ", not complete" : ""}`;
  }

  #leave() {
    this.plot?.setCursor({ left: -10, top: -10 });
  }
}

function dot(ctx, [x, y], color) {
  ctx.save();
  ctx.setLineDash([]);
  ctx.fillStyle = color;
  ctx.globalAlpha = 0.75;
  ctx.fillRect(x - 2 * devicePixelRatio, y - 2 * devicePixelRatio, 4 * devicePixelRatio, 4 * devicePixelRatio);
  ctx.restore();
}

/** Whether two models differ in more than their values. */
function shape({ stepName, lines, times }) {
  return JSON.stringify([stepName, times.length < DOTS_BELOW,
    lines.map(({ label, color, dash, above, fill, show }) => [label, color, dash, above, fill, show])]);
}

function timeLabels(plot, splits, _axis, _space, incrementS) {
  return splits.map((at, index) => {
    const text = shownTime(at);
    const [day, clock] = [text.slice(0, 10), text.slice(11)];
    const isNewDay = index === 0 || shownTime(splits[index - 1]).slice(0, 10) !== day;
    if (incrementS >= 86_400) return day;
    return isNewDay ? `${clock}\n${day}` : clock;
  });
}

function summary({ lines, from, until, stepName }) {
  const names = lines.map((line) => line.label).join(", ");
  return `Graph of ${names || "nothing"}, ${shownTime(from)} to ${shownTime(until)}, a point for every ${stepName}. `
    + "Arrow keys read values; the same figures follow as a table.";
}

/* Small SVG charts that need only `scales.js`: bayesrChart(element, spec) draws one chart into an element.
 *
 * spec = {title, x: axis, y: axis, identity?, height?, series: [...]}
 * axis = {label, log?, min?, max?, zero?, marks?: [{at, label}]}      zero: the axis contains 0
 * series = {name, kind: "line" | "points" | "bars" | "band", x: [...], y: [...], low?, high?, labels?, dash?, colour?}
 *
 * An axis of strings has one position for each of them; low and high then belong to the other axis, else to y. Null
 * and NaN leave gaps. Every colour is a CSS variable, so that a change of theme restyles existing charts.
 *
 * Its 300 lines stay in one file: a page inlines one script for charts, whose functions share their helpers.
 */
"use strict";

(function () {
  const { format, isNamed, present, scale } = bayesrScales;
  const STYLE = `
    .chart { margin: 0; color: var(--ink); min-width: 0 } .chart-stage { position: relative }
    .chart-stage svg { display: block; width: 100%; height: auto; overflow: visible; touch-action: pan-y }
    .chart-stage svg:focus-visible { outline: 2px solid var(--series-1); outline-offset: 4px }
    .chart-stage text { font: 12px system-ui, sans-serif; fill: var(--muted); font-variant-numeric: tabular-nums }
    .chart-stage text.name { fill: var(--ink); paint-order: stroke; stroke: var(--paper); stroke-width: 3px }
    .chart-title { font-weight: 600; font-size: 0.95rem; margin: 0 0 0.35rem }
    .chart-legend { display: flex; flex-wrap: wrap; gap: 0.15rem 1rem; margin: 0 0 0.5rem; padding: 0;
      list-style: none; font-size: 0.8rem; color: var(--muted) }
    .chart-legend svg { width: 22px; height: 10px; margin-right: 0.4rem }
    .chart-readout { position: absolute; pointer-events: none; padding: 0.25rem 0.55rem; border-radius: 4px; z-index: 2;
      font-size: 0.78rem; line-height: 1.35; background: var(--ink); color: var(--paper); white-space: pre-line }
    .chart details { font-size: 0.78rem; color: var(--muted); margin-top: 0.2rem }
    .chart summary { cursor: pointer; width: fit-content } .chart details > div { max-height: 16rem; overflow: auto }
    .chart details table { border-collapse: collapse; font-variant-numeric: tabular-nums }
    .chart details :is(th, td) { padding: 0.1rem 0.8rem 0.1rem 0; text-align: left; font-weight: normal;
      border-bottom: 1px solid var(--grid); white-space: nowrap }`;
  const SHAPES = new Set(["svg", "g", "path", "rect", "circle", "text", "title", "clipPath"]);
  const MOST_ROWS = 400; // longest table of numbers below a chart: longer curves are thinned, which the table states

  function add(parent, tag, attributes = {}, style = {}, text) {
    const node = SHAPES.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    Object.assign(node.style, style);
    if (text !== undefined) node.textContent = text;
    return parent.appendChild(node);
  }

  const colourOf = (series, order) => `var(${series.colour || `--series-${(order % 6) + 1}`})`;

  /* Coordinates of the points of a series; null for a gap. */
  function placed(series, x, y, values = series.y) {
    return series.x.map((where, i) => (x.has(where) && values && y.has(values[i]) ? [x.at(where), y.at(values[i])] : null));
  }

  function runs(points) {
    const all = [[]];
    for (const point of points) {
      if (point) all[all.length - 1].push(point);
      else if (all[all.length - 1].length) all.push([]);
    }
    return all.filter((run) => run.length);
  }

  const path = (run) => "M" + run.map((point) => point.map((part) => part.toFixed(2)).join(" ")).join("L");

  function drawBand(layer, series, x, y, colour) {
    const [lows, highs] = [placed(series, x, y, series.low), placed(series, x, y, series.high)];
    const both = lows.map((low, i) => (low && highs[i] ? [low, highs[i]] : null));
    for (const run of runs(both)) {
      const outline = [...run.map(([low]) => low), ...run.map(([, high]) => high).reverse()];
      add(layer, "path", { d: path(outline) + "Z" }, { fill: colour, opacity: 0.2 });
    }
  }

  function drawLine(layer, series, x, y, colour) {
    if (series.low && series.high) drawBand(layer, series, x, y, colour);
    for (const run of runs(placed(series, x, y))) {
      const line = { fill: "none", stroke: colour, strokeWidth: 1.8, strokeLinejoin: "round", strokeDasharray: series.dash ? "5 4" : "" };
      if (run.length === 1) add(layer, "circle", { cx: run[0][0], cy: run[0][1], r: 2.5 }, { fill: colour });
      else add(layer, "path", { d: path(run) }, line);
    }
  }

  function drawBars(layer, series, x, y, colour, place) {
    const flat = y.names, along = flat ? x : y; // bars are horizontal where the names are on the vertical axis
    const thickness = Math.max((place.room * 0.8) / place.count, 1);
    const start = along.at(Math.min(Math.max(0, along.low), along.high));
    placed(series, x, y).forEach((point, i) => {
      if (!point) return;
      const [end, middle] = flat ? point : [point[1], point[0]];
      const side = middle - place.room * 0.4 + thickness * place.order, thick = thickness - (thickness > 4 ? 1 : 0);
      const low = Math.min(start, end), size = Math.abs(end - start);
      const box = flat ? { x: low, y: side, width: size, height: thick } : { x: side, y: low, width: thick, height: size };
      add(layer, "rect", box, { fill: colour, opacity: 0.85 });
      drawError(layer, series, i, along, "var(--ink)", flat, side + thickness / 2);
    });
  }

  function drawError(layer, series, i, along, colour, flat, across) {
    if (!series.low || !series.high || !along.has(series.low[i]) || !along.has(series.high[i])) return;
    const [a, b] = [along.at(series.low[i]), along.at(series.high[i])], c = across;
    const d = flat ? `M${a} ${c}H${b}M${a} ${c - 3}v6M${b} ${c - 3}v6` : `M${c} ${a}V${b}M${c - 3} ${a}h6M${c - 3} ${b}h6`;
    add(layer, "path", { d }, { stroke: colour, strokeWidth: 1.2, fill: "none" });
  }

  function drawPoints(layer, labels, series, x, y, colour, taken) {
    placed(series, x, y).forEach((point, i) => {
      if (!point) return;
      const flat = y.names && !x.names;
      drawError(layer, series, i, flat ? x : y, colour, flat, flat ? point[1] : point[0]);
      add(layer, "circle", { cx: point[0], cy: point[1], r: 4.2 }, { fill: colour, stroke: "var(--paper)", strokeWidth: 1 });
      if (series.labels && series.labels[i]) placeLabel(labels, series.labels[i], point, taken);
    });
  }

  /* Draw a name next to its point unless it would cover another name or point; the readout shows all names. */
  function placeLabel(layer, text, [cx, cy], taken) {
    const width = text.length * 6.4 + 4, sides = { start: 0, end: -width, middle: -width / 2 };
    const corners = [-8, 16].flatMap((dy) => [[8, dy, "start"], [-8, dy, "end"]]);
    const choices = [[8, 4, "start"], [-8, 4, "end"], [0, -9, "middle"], [0, 17, "middle"], ...corners];
    for (const [dx, dy, anchor] of choices) {
      const left = cx + dx + sides[anchor], box = [left, cy + dy - 10, left + width, cy + dy + 3];
      const hit = (other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3];
      if (left < taken.left || left + width > taken.right || taken.boxes.some(hit)) continue;
      taken.boxes.push(box);
      add(layer, "text", { x: cx + dx, y: cy + dy, "text-anchor": anchor, class: "name" }, {}, text);
      return;
    }
  }

  function drawAxes(svg, spec, x, y, box) {
    const line = { stroke: "var(--grid)", fill: "none" }, frame = { stroke: "var(--muted)", fill: "none" };
    for (const [tick, text] of y.ticks) {
      if (!y.names) add(svg, "path", { d: `M${box.left} ${y.at(tick)}H${box.right}` }, line);
      const most = Math.floor((box.left - 8) / 7), short = text.length > most ? text.slice(0, most - 1).trimEnd() + "…" : text;
      const label = add(svg, "text", { x: box.left - 8, y: y.at(tick) + 4, "text-anchor": "end" }, {}, short);
      if (short !== text) add(label, "title", {}, {}, text);
    }
    for (const [tick, text] of x.ticks) {
      const at = x.at(tick);
      if (!x.names) add(svg, "path", { d: y.names ? `M${at} ${box.top}V${box.bottom}` : `M${at} ${box.bottom}v5` }, line);
      const turned = { transform: `translate(${at + 4} ${box.bottom + 13}) rotate(-40)`, "text-anchor": "end" };
      add(svg, "text", box.turned ? turned : { x: at, y: box.bottom + 18, "text-anchor": "middle" }, {}, text);
    }
    add(svg, "path", { d: y.names ? `M${box.left} ${box.top}V${box.bottom}` : `M${box.left} ${box.bottom}H${box.right}` }, frame);
    if (spec.y.label) add(svg, "text", { x: 0, y: 12 }, {}, spec.y.label);
    if (spec.x.label) add(svg, "text", { x: box.right, y: box.foot, "text-anchor": "end" }, {}, spec.x.label);
    const rule = { ...frame, strokeDasharray: "2 3" };
    for (const mark of box.marks) {
      add(svg, "path", { d: `M${mark.at} ${box.top - 4}V${box.bottom}` }, rule);
      add(svg, "text", { x: mark.from, y: box.top - 9 - 14 * mark.row }, {}, mark.label);
    }
    for (const mark of spec.y.marks || []) {
      add(svg, "path", { d: `M${box.left} ${y.at(mark.at)}H${box.right}` }, rule);
      if (mark.label) add(svg, "text", { x: box.right, y: y.at(mark.at) - 5, "text-anchor": "end" }, {}, mark.label);
    }
    const low = Math.max(x.low, y.low), high = Math.min(x.high, y.high);
    if (spec.identity && low < high) add(svg, "path", { d: `M${x.at(low)} ${y.at(low)}L${x.at(high)} ${y.at(high)}` }, { ...rule, strokeDasharray: "5 4" });
  }

  /* Labels of vertical lines above the chart, in several rows so that they do not overlap. */
  function placeMarks(marks, at, right) {
    const ends = [];
    return marks.map((mark) => {
      const label = mark.label || "", width = label.length * 6.4 + 8, x = at(mark.at);
      const from = Math.min(Math.max(x - width / 2, 0), right - width + 8);
      const row = Math.max(ends.concat(0).findIndex((end, i) => i === ends.length || end < from), 0);
      if (label) ends[row] = from + width;
      return { at: x, from, row, label };
    });
  }

  /* The text and the position of every point, for hovering and the arrow keys. */
  function readings(spec, x, y) {
    const flat = y.names && !x.names;
    const labelled = (label, value) => [label, format(value)].filter(Boolean).join(" ");
    return spec.series.flatMap((series) => {
      const middle = series.y || series.low.map((low, i) => (low + series.high[i]) / 2);
      return placed(series, x, y, middle).flatMap((point, i) => {
        if (!point) return [];
        const range = series.low && present(series.low[i]) ? ` (${format(series.low[i])} to ${format(series.high[i])})` : "";
        const [where, value] = flat ? [series.y[i], labelled(spec.x.label, series.x[i])] : [labelled(spec.x.label, series.x[i]), labelled(spec.y.label, middle[i])];
        const head = (series.labels && series.labels[i]) || series.name;
        return [{ cx: point[0], cy: point[1], text: [head, where, value + range].filter(Boolean).join("\n") }];
      });
    });
  }

  function follow(stage, svg, points, width) {
    const readout = add(stage, "div", { class: "chart-readout", hidden: "", "aria-live": "polite" });
    const ring = add(svg, "circle", { r: 6.5 }, { fill: "none", stroke: "var(--ink)", strokeWidth: 1.5, display: "none" });
    let current = -1;
    const hide = () => { readout.hidden = true; ring.style.display = "none"; };
    const show = (index) => {
      const point = points[(current = index)], ratio = stage.clientWidth / width;
      for (const key of ["cx", "cy"]) ring.setAttribute(key, point[key]);
      ring.style.display = "";
      readout.textContent = point.text;
      readout.hidden = false;
      const beyond = point.cx * ratio + readout.offsetWidth + 14 > stage.clientWidth;
      readout.style.left = Math.max(point.cx * ratio + (beyond ? -readout.offsetWidth - 12 : 12), 0) + "px";
      readout.style.top = Math.max(point.cy * ratio - readout.offsetHeight - 8, 0) + "px";
    };
    svg.addEventListener("pointermove", (event) => {
      const frame = svg.getBoundingClientRect(), ratio = width / frame.width;
      const far = (point) => Math.hypot(point.cx - (event.clientX - frame.left) * ratio, point.cy - (event.clientY - frame.top) * ratio);
      const best = points.reduce((least, point, i) => (least < 0 || far(point) < far(points[least]) ? i : least), -1);
      if (best < 0 || far(points[best]) > 60) hide(); else show(best);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step || !points.length) return;
      event.preventDefault();
      event.stopPropagation(); // the page can use the arrow keys, too
      show((current + step + points.length) % points.length);
    });
  }

  function draw(stage, spec, width) {
    const pick = (key) => spec.series.flatMap((series) => Array.from(series[key] || []));
    const xs = pick("x"), ys = pick("y"), flat = isNamed(ys) && !isNamed(xs);
    (flat ? xs : ys).push(...pick("low"), ...pick("high"));
    const bars = spec.series.filter((series) => series.kind === "bars"), axis = { x: { ...spec.x }, y: { ...spec.y } };
    if (bars.length) axis[flat ? "x" : "y"].zero = !axis[flat ? "x" : "y"].log;
    let step = 0; // distance between bars on a numeric axis
    if (bars.length && !flat && !isNamed(xs)) {
      const places = [...new Set(bars.flatMap((series) => series.x))].sort((a, b) => a - b);
      step = places.slice(1).reduce((least, place, i) => Math.min(least, place - places[i]), Infinity);
      if (step === Infinity) step = 1;
      xs.push(places[0] - step / 2, places[places.length - 1] + step / 2);
    }
    axis.x.tight = step > 0 || spec.series.every((series) => ["line", "band"].includes(series.kind));
    const rows = new Set(ys).size * (13 * Math.max(bars.length, 1) + 13) + 68;
    let height = spec.height || (flat ? rows : Math.round(Math.min(Math.max(width * (spec.identity ? 0.9 : 0.62), 230), 340)));
    const box = { top: spec.y.label ? 28 : 10, bottom: height - (spec.x.label ? 42 : 26), right: width - 14 };
    const textWidth = (ticks) => ticks.reduce((most, [, text]) => Math.max(most, text.length), 0) * 6.6;
    const vertical = () => (isNamed(ys) ? scale(axis.y, [...ys], box.top, box.bottom) : scale(axis.y, ys, box.bottom, box.top, 42));
    let y = vertical();
    box.left = Math.min(textWidth(y.ticks) + 14, width * 0.45);
    const x = scale(axis.x, xs, box.left, box.right, 72);
    box.turned = x.names && textWidth(x.ticks) > x.room;
    if (box.turned) box.bottom -= Math.min(textWidth(x.ticks) * 0.64, height * 0.3);
    box.marks = placeMarks(spec.x.marks || [], x.at, width);
    const above = box.marks.reduce((most, mark) => (mark.label ? Math.max(most, mark.row + 1) : most), 0) * 14;
    for (const side of ["top", "bottom"]) box[side] += above;
    height += above;
    box.foot = height - 4;
    y = vertical();
    const title = spec.title || "chart", label = `${title}: ${spec.y.label || "y"} against ${spec.x.label || "x"}`;
    const svg = add(stage, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label": label });
    add(svg, "title", {}, {}, title);
    drawAxes(svg, spec, x, y, box);
    const clip = add(svg, "clipPath", { id: "clip-" + Math.random().toString(36).slice(2) });
    add(clip, "rect", { x: box.left - 6, y: box.top - 6, width: box.right - box.left + 12, height: box.bottom - box.top + 12 });
    const layer = add(svg, "g", { "clip-path": `url(#${clip.id})` }), labels = add(svg, "g");
    const points = readings(spec, x, y), boxes = points.map(({ cx, cy }) => [cx - 4, cy - 4, cx + 4, cy + 4]);
    const taken = { left: box.left - 4, right: width, boxes };
    const room = y.names ? y.room : x.names ? x.room : step ? Math.abs(x.at(xs[0] + step) - x.at(xs[0])) : 0;
    spec.series.forEach((series, order) => {
      const colour = colourOf(series, order);
      if (series.kind === "bars") drawBars(layer, series, x, y, colour, { room, count: bars.length, order: bars.indexOf(series) });
      else if (series.kind === "band") drawBand(layer, series, x, y, colour);
      else if (series.kind === "line") drawLine(layer, series, x, y, colour);
      else drawPoints(layer, labels, series, x, y, colour, taken);
    });
    follow(stage, svg, points, width);
  }

  function drawLegend(figure, spec) {
    if (spec.series.filter((series) => series.name).length < 2) return;
    const list = add(figure, "ul", { class: "chart-legend" });
    spec.series.forEach((series, order) => {
      if (!series.name) return;
      const item = add(list, "li"), colour = colourOf(series, order);
      const key = add(item, "svg", { viewBox: "0 0 22 10", "aria-hidden": "true" });
      if (series.kind === "points") add(key, "circle", { cx: 11, cy: 5, r: 4.2 }, { fill: colour });
      else if (series.kind === "line") add(key, "path", { d: "M0 5H22" }, { stroke: colour, strokeWidth: 2, strokeDasharray: series.dash ? "5 4" : "" });
      else add(key, "rect", { width: 22, height: 10 }, { fill: colour, opacity: series.kind === "band" ? 0.3 : 0.85 });
      add(item, "span", {}, {}, series.name);
    });
  }

  function listNumbers(figure, spec) {
    const details = add(figure, "details");
    add(details, "summary", {}, {}, "Numbers");
    const table = add(add(details, "div"), "table");
    const cells = (values, tag) => {
      const row = add(table, "tr");
      for (const value of values) add(row, tag, {}, {}, format(value, 6));
    };
    cells(["series", spec.x.label || "x", spec.y.label || "y", "low", "high"], "th");
    details.addEventListener("toggle", () => { // built when first opened: a page can contain many charts
      if (table.rows.length > 1) return;
      for (const series of spec.series) {
        const every = Math.ceil(series.x.length / MOST_ROWS);
        if (every > 1) cells([`${series.name}: one in ${every}`, null, null, null, null], "td");
        for (let i = 0; i < series.x.length; i += every) {
          const [y, low, high] = [series.y, series.low, series.high].map((values) => (values ? values[i] : null));
          cells([(series.labels && series.labels[i]) || series.name || "", series.x[i], y, low, high], "td");
        }
      }
    });
  }

  window.bayesrChart = function (element, spec) {
    if (!document.getElementById("chart-style")) add(document.head, "style", { id: "chart-style" }, {}, STYLE);
    const whole = { x: {}, y: {}, ...spec };
    element.replaceChildren();
    const figure = add(element, "figure", { class: "chart" });
    if (whole.title) add(figure, "figcaption", { class: "chart-title" }, {}, whole.title);
    drawLegend(figure, whole);
    const stage = add(figure, "div", { class: "chart-stage" });
    let width = 0;
    const redraw = () => {
      const now = Math.min(Math.max(Math.round(stage.clientWidth || 520), 260), 900);
      if (now === width) return;
      stage.replaceChildren();
      draw(stage, whole, (width = now));
    };
    redraw();
    // The layout follows the available width, so that text keeps its size on a phone.
    new ResizeObserver(redraw).observe(stage);
    listNumbers(figure, whole);
    return figure;
  };
})();

/* Profile along a line: the mean with its interval, some members, and the reference where there is one. */
"use strict";

(function () {
  const { data, view, state } = bayesr;
  const [height, width] = data.shape;
  const FEW = 4; // number of members that are drawn: more would hide the band
  const line = { x0: 0, y0: Math.floor(height / 2), x1: width - 1, y1: Math.floor(height / 2) };
  const at = (id) => document.getElementById(id);
  let waiting = false;

  const upright = () => line.x0 === line.x1 && line.y0 !== line.y1;
  const flat = () => line.y0 === line.y1;
  const clamp = (value, most) => Math.max(0, Math.min(most, Math.round(value)));

  function set(x0, y0, x1, y1) {
    Object.assign(line, { x0: clamp(x0, width - 1), x1: clamp(x1, width - 1), y0: clamp(y0, height - 1), y1: clamp(y1, height - 1) });
    view.changed(); // the maps show the line
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }

  /* The pixels that are nearest to the line. */
  function pixels() {
    const steps = Math.max(Math.abs(line.x1 - line.x0), Math.abs(line.y1 - line.y0), 1);
    return Array.from({ length: steps + 1 }, (_, i) => ({
      x: Math.round(line.x0 + ((line.x1 - line.x0) * i) / steps),
      y: Math.round(line.y0 + ((line.y1 - line.y0) * i) / steps),
    }));
  }

  async function draw() {
    const along = pixels(), where = along.map(({ x, y }) => y * width + x);
    const length = Math.hypot(line.x1 - line.x0, line.y1 - line.y0) / (along.length - 1);
    const x = along.map((pixel, i) => (flat() ? bayesr.place("x", pixel.x) : upright() ? bayesr.place("y", pixel.y) : i * length * data.factor));
    const cut = (values) => values && where.map((i) => values[i]);
    const series = [];
    if (bayesr.has("lower") && bayesr.has("upper")) {
      const [low, high] = [cut(bayesr.layer("lower")), cut(bayesr.layer("upper"))];
      series.push({ name: `${bayesr.percent(data.level)} interval`, kind: "band", x, y: low, low, high, colour: "--series-1" });
    }
    const few = Array.from({ length: Math.min(FEW, bayesr.members.count()) }, (_, i) => i);
    if (few.length) { // one series with gaps, since members are exchangeable
      const drawn = await Promise.all(few.map(async (i) => cut(bayesr.members.values(await bayesr.members.codes(i), state.band))));
      const [xs, ys] = [few.flatMap(() => [...x, null]), drawn.flatMap((y) => [...y, null])];
      series.push({ name: "members", kind: "line", x: xs, y: ys, colour: "--faint" });
    }
    if (bayesr.has("reference")) series.push({ name: "reference", kind: "line", dash: true, x, y: cut(bayesr.layer("reference")), colour: "--series-2" });
    series.push({ name: "mean", kind: "line", x, y: cut(bayesr.layer("mean")), colour: "--series-1" });
    const axis = flat() || upright() ? (flat() ? "x" : "y") : null;
    const units = axis ? data.axes[axis].units : "pixels";
    const spec = {
      title: "Values along the line",
      height: 260,
      x: { label: `${axis || "along the line"}${units ? ` (${units})` : ""}`, tight: true },
      y: { label: `${state.band < 0 ? "mean over bands" : data.bands.length > 1 ? `band ${data.bands[state.band]}` : "value"}${data.units ? ` (${data.units})` : ""}` },
      series,
    };
    bayesrChart(at("profile"), spec);
    slider();
  }

  /* The slider moves the line perpendicular to itself. */
  function slider() {
    const across = Math.abs(line.x1 - line.x0) >= Math.abs(line.y1 - line.y0);
    at("along").textContent = across ? "Row" : "Column";
    at("position").max = (across ? height : width) - 1;
    at("position").value = across ? (line.y0 + line.y1) / 2 : (line.x0 + line.x1) / 2;
    at("place").textContent = across ? Math.round((line.y0 + line.y1) / 2) : Math.round((line.x0 + line.x1) / 2);
  }

  function shift(to) {
    const across = Math.abs(line.x1 - line.x0) >= Math.abs(line.y1 - line.y0);
    const by = to - Math.round(across ? (line.y0 + line.y1) / 2 : (line.x0 + line.x1) / 2);
    if (across) set(line.x0, line.y0 + by, line.x1, line.y1 + by);
    else set(line.x0 + by, line.y0, line.x1 + by, line.y1);
  }

  /* The part that a drag from this point moves: an end, the line, or nothing. */
  function grab(point, reach) {
    const ends = [["x0", "y0"], ["x1", "y1"]], middle = { x: point.x - 0.5, y: point.y - 0.5 };
    const close = ends.find(([x, y]) => Math.hypot(line[x] - middle.x, line[y] - middle.y) < reach);
    const before = { ...line };
    if (close) {
      const [x, y] = close;
      return { move: (now) => set(...["x0", "y0", "x1", "y1"].map((name) => (name === x ? now.x - 0.5 : name === y ? now.y - 0.5 : before[name]))) };
    }
    const dx = line.x1 - line.x0, dy = line.y1 - line.y0, length = Math.hypot(dx, dy) || 1;
    const away = Math.abs((middle.x - line.x0) * dy - (middle.y - line.y0) * dx) / length;
    const share = ((middle.x - line.x0) * dx + (middle.y - line.y0) * dy) / length ** 2;
    if (away > reach || share < 0 || share > 1) return null;
    return {
      move: (now) => {
        const [bx, by] = [now.x - point.x, now.y - point.y];
        if (flat()) set(before.x0, before.y0 + by, before.x1, before.y1 + by);
        else if (upright()) set(before.x0 + bx, before.y0, before.x1 + bx, before.y1);
        else set(before.x0 + bx, before.y0 + by, before.x1 + bx, before.y1 + by);
      },
    };
  }

  /* Draw the line and its ends on a map. */
  function onto(context, toScreen) {
    const a = toScreen(line.x0 + 0.5, line.y0 + 0.5), b = toScreen(line.x1 + 0.5, line.y1 + 0.5);
    for (const [colour, thickness] of [["rgb(0 0 0 / 55%)", 3], ["rgb(255 255 255 / 85%)", 1.2]]) {
      context.strokeStyle = colour;
      context.lineWidth = thickness;
      context.beginPath();
      context.moveTo(...a);
      context.lineTo(...b);
      context.stroke();
    }
    for (const [x, y] of [a, b]) {
      context.beginPath();
      context.arc(x, y, 5.5, 0, 2 * Math.PI);
      context.fillStyle = "#fff";
      context.strokeStyle = "rgb(0 0 0 / 70%)";
      context.lineWidth = 1.5;
      context.fill();
      context.stroke();
    }
  }

  function start() {
    const here = () => view.cross || { x: Math.round(view.x), y: Math.round(view.y) };
    at("across").addEventListener("click", () => set(0, here().y, width - 1, here().y));
    at("down").addEventListener("click", () => set(here().x, 0, here().x, height - 1));
    at("position").addEventListener("input", (event) => shift(Number(event.target.value)));
    return draw();
  }

  bayesr.profile = { start, draw, grab, onto };
})();

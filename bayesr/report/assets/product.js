/* Assembles the page: texts, maps on their stages, the readout, tables and charts. */
"use strict";

(function () {
  const { data, view, MAPS, state } = bayesr;
  const [height, width] = data.shape;
  const stages = {}; // name of a map -> {stage, canvas, cross, source}
  const at = (id) => document.getElementById(id);

  function add(parent, tag, attributes = {}, text) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return parent.appendChild(node);
  }

  /* The coordinate of the centre of a shown pixel, or of the block that it stands for. */
  bayesr.place = (dim, i) => {
    const axis = data.axes[dim], start = data.window[dim === "y" ? 0 : 2];
    return axis.first + axis.step * (start + (i + 0.5) * data.factor - 0.5);
  };

  // -- texts ------------------------------------------------------------------------------------

  function texts() {
    const [tall, wide] = data.size, [top, bottom, left, right] = data.window;
    at("title").textContent = data.title;
    const bands = `${data.of_bands} band${data.of_bands > 1 ? "s" : ""}`;
    at("about").textContent = `${tall} × ${wide} pixels, ${bands}, ×${data.scale} · ${data.n} members of ${data.model} · ${bayesr.percent(data.level)} intervals`;
    const warn = (text) => add(add(at("warnings"), "div", { class: "warning" }), "p", {}, text);
    if (data.input_check && data.input_check !== "as in calibration") warn(`The input was not found to be like the calibration images (${data.input_check}): intervals may be wrong for it.`);
    if (bottom - top < tall || right - left < wide) warn(`Shown: rows ${top} to ${bottom - 1}, columns ${left} to ${right - 1} of the product.`);
    if (data.factor > 1) warn(`Each shown pixel is the mean of ${data.factor} × ${data.factor} pixels. The mean of standard deviations describes single pixels, not the block.`);
    if (data.of_bands > data.bands.length) warn(`Only the first ${data.bands.length} bands are shown.`);
    at("sure").textContent = `Intervals were calibrated to contain the truth of ${bayesr.percent(data.level)} of the pixels, on average over images like the calibration images. This does not hold for every single image, nor for every part of an image.`;
    at("command").textContent = data.command;
    for (const [name, value] of data.provenance) {
      const row = add(at("provenance"), "tr");
      add(row, "th", { scope: "row" }, name);
      add(row, "td", {}, value);
    }
    for (const { what, why } of data.missing) {
      const item = add(at("lacking"), "div");
      add(item, "dt", {}, what);
      add(item, "dd", {}, why);
    }
    at("missing").hidden = !data.missing.length;
  }

  function precision() {
    const half = (plane) => `±${Number((plane.step / 2).toPrecision(2))}`;
    const shown = Object.entries(bayesr.planes).filter(([name]) => !["state", "region", "input", "chi", "open_share"].includes(name));
    const parts = shown.map(([name, plane]) => `${name} ${half(plane)}${plane.root ? " of its root" : ""}`);
    if (data.intervals) parts.push("lower and upper are computed from mean and std");
    let text = `Values are rounded: ${parts.join(", ")}.`;
    if (data.averaged.length) text += ` To keep the page small, ${data.averaged.join(", ")} are means over bands.`;
    const drawn = data.members;
    if (drawn) text += ` Members ${drawn.numbers[0]} to ${drawn.numbers[drawn.numbers.length - 1]} of ${drawn.of}${drawn.redrawn ? ", drawn again," : ""} are lossy pictures with an error of ${Number(drawn.error.toPrecision(2))}${bayesr.units} (root mean square).`;
    at("precision").textContent = text;
  }

  // -- maps -------------------------------------------------------------------------------------

  function figure(id) {
    const map = MAPS[id], box = document.createElement("figure");
    box.className = "map";
    box.id = `map-${id}`;
    const heading = add(box, "h3", {}, map.name);
    add(heading, "small", { class: "number" });
    const stage = add(box, "div", { class: "stage", tabindex: "0", role: "img", "aria-roledescription": "map, zoomable", "aria-label": `${map.name}. ${map.how}`, "data-map": id });
    stage.style.aspectRatio = String(Math.max(0.7, Math.min(1.9, width / height)));
    const canvas = add(stage, "canvas"), cross = add(stage, "i", { class: "cross" });
    cross.hidden = true;
    add(box, "div", { class: "bar" });
    add(box, "p", {}, map.how);
    stages[id] = { stage, canvas, cross, source: null };
    view.attach(stage, id === "mean" ? bayesr.profile.grab : null);
    return box;
  }

  function layout() {
    for (const grid of document.querySelectorAll(".maps")) {
      for (const id of grid.dataset.maps.split(" ")) if (bayesr.has(id)) grid.append(figure(id));
      grid.hidden = !grid.children.length;
      if (grid.hidden) continue;
      for (const { map, what, why } of data.missing) {
        if (!map || !grid.dataset.maps.split(" ").includes(map)) continue;
        const card = add(grid, "div", { class: "map words" });
        add(card, "h3", {}, `${what}: not shown`);
        add(card, "p", {}, why);
      }
    }
    at("why").hidden = !at("why").querySelector(".map");
    if (stages.lower && stages.upper) {
      const card = add(stages.upper.stage.closest(".maps"), "div", { class: "map words" });
      add(card, "h3", {}, "How to read these maps");
      for (const text of [
        "Compare the maps with each other: an edge that both bounds and all members show is well supported. An edge that only some members show may be an artefact.",
        "Do not sum the standard deviations of pixels to obtain the error of an area or a count. Errors of neighbouring pixels are correlated; bayesr.aggregate and bayesr.segment evaluate every member instead.",
        "A small standard deviation is no proof. It states the typical error on images like the calibration images, and all members can miss an object of a kind that was never seen.",
      ]) add(card, "p", {}, text);
    }
    if (stages.member) bayesr.members.controls(at("map-member"));
  }

  function bar(id) {
    const map = MAPS[id], box = at(`map-${id}`).querySelector(".bar"), heading = at(`map-${id}`).querySelector("small");
    const many = data.bands.length > 1, averaged = data.averaged.includes(id);
    const which = !many ? "" : bayesr.coloured(id) ? "" : state.band < 0 || averaged || ["region", "chi", "open_share"].includes(id) ? "mean over bands" : `band ${data.bands[state.band]}`;
    if (id === "member") heading.innerHTML = `<output id="number">${data.members.numbers[bayesr.members.shown]}</output> of ${data.members.of}`;
    else heading.textContent = [map.note, id === "state" && state.band < 0 && many ? "in all bands" : which].filter(Boolean).join(", ");
    box.replaceChildren();
    if (map.states) {
      for (const [name, colour] of Object.entries(bayesr.colour.stateColours)) add(box, "span", { class: "key", style: `--key: ${colour}` }, name);
      return;
    }
    const low = map.low(), whole = map.high(), high = Math.min(whole, map.most ?? whole), step = map.log ? 0.01 : map.exact ? 0.01 : (high - low) / 200;
    add(box, "span", {}, bayesr.text(low, step));
    const ramp = add(box, "span", { class: "ramp" });
    ramp.append(bayesr.colour.canvas(map.fade ? bayesr.colour.LEVELS : 1, 256, strip(map, (high - low) / (whole - low))));
    const middle = map.log ? 0.5 : (map.middle - low) / (high - low);
    if (map.middle !== undefined) add(ramp, "i", { class: "middle", title: String(map.middle), style: `left: ${100 * middle}%` });
    const unit = map.log || map.exact ? "" : bayesr.units;
    add(box, "span", {}, `${bayesr.text(high, step)}${unit}`);
  }

  /* The colours of a colour bar, or the part of them that can occur. */
  function strip(map, share) {
    const table = map.fade && !bayesr.coloured("fade") ? "viridis" : map.ramp;
    const ramp = Float32Array.from({ length: 256 * (map.fade ? bayesr.colour.LEVELS : 1) }, (_, i) => (map.flip ? 255 - (i % 256) * share : i % 256));
    const plain = bayesr.colour.byTable(table, 0, 255, ramp), levels = bayesr.colour.LEVELS;
    if (!map.fade) return plain;
    return bayesr.colour.byFading(plain, ramp.map((_, i) => (Math.floor(i / 256) + 0.5) / levels), 1);
  }

  async function refresh(id) {
    const source = id === "member" ? await bayesr.members.paint() : bayesr.painted(id);
    stages[id].source = source;
    draw(id);
  }

  function draw(id) {
    const { stage, canvas, source } = stages[id];
    if (!source || !stage.clientWidth) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2), wide = stage.clientWidth, tall = stage.clientHeight;
    const [w, h] = [Math.round(wide * ratio), Math.round(tall * ratio)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    const context = canvas.getContext("2d"), s = view.scale(stage), side = MAPS[id].side || 1;
    const toScreen = (x, y) => [(x - view.x) * s + wide / 2, (y - view.y) * s + tall / 2];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, wide, tall);
    context.imageSmoothingEnabled = s * side * ratio < 1; // pixels stay squares when they are larger than those of the screen
    context.imageSmoothingQuality = "high";
    const [left, top] = toScreen(0, 0);
    context.save();
    context.beginPath();
    context.rect(left, top, width * s, height * s); // the last blocks can extend beyond the image
    context.clip();
    context.drawImage(source, left, top, source.width * side * s, source.height * side * s);
    context.restore();
    if (id === "mean") bayesr.profile.onto(context, toScreen);
    stage.style.touchAction = view.zoom > 1 ? "none" : "pan-y"; // a finger scrolls the page as long as the map is not zoomed
  }

  function drawAll() {
    at("zoom").textContent = `${Number(view.zoom.toPrecision(2))}×`;
    at("out").disabled = at("fit").disabled = view.zoom <= 1;
    for (const id of Object.keys(stages)) draw(id);
    crosses();
  }

  function redraw() {
    for (const id of Object.keys(stages)) {
      bar(id);
      refresh(id);
    }
    read();
    return bayesr.profile.draw();
  }

  // -- readout ----------------------------------------------------------------------------------

  function crosses() {
    for (const { stage, cross } of Object.values(stages)) {
      cross.hidden = !view.cross;
      if (!view.cross) continue;
      const s = view.scale(stage);
      const x = (view.cross.x + 0.5 - view.x) * s + stage.clientWidth / 2, y = (view.cross.y + 0.5 - view.y) * s + stage.clientHeight / 2;
      cross.style.transform = `translate(${x}px, ${y}px)`;
    }
  }

  const coordinate = (dim, i) => {
    const { units, step } = data.axes[dim];
    const short = units === "input pixels" || units === "pixels" ? "" : units === "degrees_north" || units === "degrees_east" ? "°" : units && ` ${units}`;
    return `${bayesr.text(bayesr.place(dim, i), Math.abs(step * data.factor) / 4)}${short}`;
  };

  const STATES = { 1: "inside", 2: "below", 3: "above" };

  async function read() {
    crosses();
    if (!view.cross) return;
    const { x, y } = view.cross, i = y * width + x, parts = [[`y ${coordinate("y", y)}, x ${coordinate("x", x)}`, ""]];
    const step = (name) => (bayesr.planes[name] ? bayesr.planes[name].step : bayesr.planes.mean.step);
    const show = (label, name, unit = bayesr.units) => {
      if (!bayesr.has(name)) return;
      const plane = bayesr.planes[name], value = bayesr.layer(name)[i];
      if (plane && plane.root) parts.push([label, `${bayesr.text(Math.sign(value) * value * value, step(name) * Math.max(Math.abs(value), step(name)) * 2)}${unit && `${unit}²`}`]);
      else parts.push([label, `${bayesr.text(value, name === "calibration" ? 0.01 : step(name))}${unit}`]);
    };
    if (data.input) {
      const plane = bayesr.planes.input, side = data.input.side, at = Math.floor(y / side) * plane.width + Math.floor(x / side);
      parts.push(["input", `${bayesr.text(bayesr.layer("input")[at], plane.step)}${bayesr.units}`]);
    }
    show("mean", "mean");
    show("std", "std");
    if (bayesr.has("lower") && bayesr.has("upper")) parts.push(["interval", `${bayesr.text(bayesr.layer("lower")[i], step("mean"))} to ${bayesr.text(bayesr.layer("upper")[i], step("mean"))}${bayesr.units}`]);
    if (data.members) {
      const values = await bayesr.members.valueAt(i);
      const value = state.band < 0 ? values.reduce((a, b) => a + b, 0) / values.length : values[state.band];
      parts.push([bayesr.members.label(), `≈ ${bayesr.text(value, data.members.error)}${bayesr.units}`]);
    }
    show("aleatoric", "aleatoric");
    show("epistemic", "epistemic");
    show("calibration", "calibration", "");
    show("reference", "reference");
    if (bayesr.has("state")) parts.push(["truth", STATES[bayesr.layer("state")[i]] || "–"]);
    if (data.bands.length > 1) parts.push([state.band < 0 ? "mean over bands" : `band ${data.bands[state.band]}`, ""]);
    at("values").replaceChildren();
    for (const [label, value] of parts) {
      const span = add(at("values"), "span", {}, value ? `${label} ` : "");
      add(span, value ? "b" : "span", {}, value || label);
    }
  }

  // -- the input --------------------------------------------------------------------------------

  function checks() {
    const check = data.check;
    at("check").hidden = !check;
    if (!check) return;
    const part = check.window ? `Figures are for rows ${check.window[0]} to ${check.window[1] - 1}, columns ${check.window[2]} to ${check.window[3] - 1}. ` : "";
    at("checked").textContent = `${part}The variance of the members, before calibration, has a part that the input shows and a part that it cannot show, which is invented. This check needs no reference (${check.source}).`;
    figures(at("checks"), check.figures);
  }

  function figures(table, rows) {
    for (const { name, value, unit, meaning } of rows) {
      const row = add(table, "tr");
      add(row, "th", { scope: "row" }, name);
      add(row, "td", { class: "number" }, value === null ? "–" : `${Number(value.toPrecision(4))}${unit ? ` ${unit}` : ""}`);
      add(row, "td", {}, meaning);
    }
  }

  // -- the reference ----------------------------------------------------------------------------

  function comparison() {
    const evidence = data.evidence;
    at("truth").hidden = !evidence;
    if (!evidence) return;
    const grid = at("truth").querySelector(".maps"), table = add(add(grid, "div", { class: "scroll span" }), "table", { id: "figures" });
    const part = evidence.window ? `Figures are for rows ${evidence.window[0]} to ${evidence.window[1] - 1}, columns ${evidence.window[2]} to ${evidence.window[3] - 1}. ` : "";
    at("against").textContent = `${part}The figures are computed from ${evidence.pixels.toLocaleString("en")} pixels of one image, which are not independent: small differences are not significant.`;
    figures(table, evidence.figures);
    for (const { name, how, spec } of evidence.charts) {
      const box = add(at("charts"), "figure", { "data-chart": name });
      bayesrChart(add(box, "div"), spec);
      add(box, "p", {}, how);
    }
  }

  // -- start ------------------------------------------------------------------------------------

  function tools() {
    at("in").addEventListener("click", () => view.zoomBy(1.5));
    at("out").addEventListener("click", () => view.zoomBy(1 / 1.5));
    at("fit").addEventListener("click", view.reset);
    at("keys").addEventListener("click", () => {
      at("shortcuts").hidden = !at("shortcuts").hidden;
      at("keys").setAttribute("aria-expanded", !at("shortcuts").hidden);
    });
    at("bands").hidden = data.bands.length < 2;
    if (data.bands.length > 1) add(at("band"), "option", { value: -1 }, "all bands");
    data.bands.forEach((name, band) => add(at("band"), "option", { value: band }, `band ${name}`));
    at("band").value = state.band;
    at("band").addEventListener("change", (event) => bayesr.choose(Number(event.target.value)));
    view.on("view", drawAll);
    view.on("cross", read);
  }

  async function start() {
    texts();
    const all = data.input ? { ...data.planes, input: data.input } : data.planes;
    await Promise.all(Object.entries(all).map(async ([name, plane]) => (bayesr.planes[name] = await bayesr.decode(plane))));
    precision();
    layout();
    checks();
    comparison();
    tools();
    drawAll();
    redraw();
    await bayesr.profile.start();
    document.documentElement.dataset.ready = "true";
  }

  Object.assign(bayesr, { refresh, redraw });
  start().catch((error) => {
    at("warnings").textContent = `This page could not be drawn: ${error.message}. A browser of 2024 or later is required.`;
    throw error;
  });
})();

/* One view for all maps: the zoom (1 shows the whole image) and the point of the image in the centre. Wheel, pinch, drag
 * and keys change it, and listeners are notified. Coordinates are in pixels of the maps, from the upper left corner. */
"use strict";

(function () {
  const [height, width] = bayesr.data.shape;
  const MOST = 48; // largest number of screen pixels per pixel
  const view = { zoom: 1, x: width / 2, y: height / 2, cross: null };
  const stages = new Set(), listeners = { view: [], cross: [] };
  let waiting = false;

  const on = (event, callback) => listeners[event].push(callback);

  function changed() {
    if (waiting) return; // at most once per frame
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      listeners.view.forEach((callback) => callback());
    });
  }

  /* Screen pixels per pixel of the map, in a stage of this size. */
  const fit = (stage) => Math.min(stage.clientWidth / width, stage.clientHeight / height);
  const scale = (stage) => fit(stage) * view.zoom;

  function clamp() {
    const stage = [...stages].find((one) => one.clientWidth) || { clientWidth: width, clientHeight: height };
    view.zoom = Math.max(1, Math.min(view.zoom, Math.max(4, MOST / fit(stage))));
    for (const [axis, size, side] of [["x", width, stage.clientWidth], ["y", height, stage.clientHeight]]) {
      const half = side / scale(stage) / 2; // do not scroll beyond the border, unless the image is smaller than the stage
      view[axis] = half * 2 >= size ? size / 2 : Math.max(half, Math.min(size - half, view[axis]));
    }
  }

  function move(dx, dy) {
    view.x += dx;
    view.y += dy;
    clamp();
    changed();
  }

  /* Zoom about a point of the image, which stays in place. */
  function zoom(times, x = view.x, y = view.y) {
    const before = view.zoom;
    view.zoom *= times;
    clamp();
    const kept = before / view.zoom;
    view.x = x + (view.x - x) * kept;
    view.y = y + (view.y - y) * kept;
    clamp();
    changed();
  }

  function reset() {
    Object.assign(view, { zoom: 1, x: width / 2, y: height / 2 });
    changed();
  }

  function setCross(x, y) {
    const inside = x >= 0 && y >= 0 && x < width && y < height;
    view.cross = inside ? { x: Math.floor(x), y: Math.floor(y) } : null;
    listeners.cross.forEach((callback) => callback());
  }

  /* The position of an event, in pixels of the map. */
  function at(stage, event) {
    const box = stage.getBoundingClientRect(), s = scale(stage);
    return {
      x: view.x + (event.clientX - box.left - box.width / 2) / s,
      y: view.y + (event.clientY - box.top - box.height / 2) / s,
    };
  }

  /* grab(point, radius) can take over a drag: it returns {move(point)} or null. */
  function attach(stage, grab) {
    const pointers = new Map();
    let held = null;
    stages.add(stage);
    stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const point = at(stage, event), reach = (event.pointerType === "mouse" ? 9 : 22) / scale(stage);
      held = pointers.size === 1 && grab ? grab(point, reach) : null;
      setCross(point.x, point.y);
    });
    stage.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId), point = at(stage, event);
      if (!before) {
        if (event.pointerType === "mouse") setCross(point.x, point.y);
        return;
      }
      const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, other]) => other);
      const now = { x: event.clientX, y: event.clientY };
      pointers.set(event.pointerId, now);
      if (held) return held.move(point);
      if (!others.length) return move((before.x - now.x) / scale(stage), (before.y - now.y) / scale(stage));
      const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
      const middle = at(stage, { clientX: (now.x + others[0].x) / 2, clientY: (now.y + others[0].y) / 2 });
      zoom(apart(now, others[0]) / apart(before, others[0]), middle.x, middle.y);
      move((before.x - now.x) / 2 / scale(stage), (before.y - now.y) / 2 / scale(stage));
    });
    const up = (event) => {
      pointers.delete(event.pointerId);
      held = null;
    };
    stage.addEventListener("pointerup", up);
    stage.addEventListener("pointercancel", up);
    stage.addEventListener("wheel", (event) => {
      // The wheel scrolls the page, unless the map was clicked or a key is held.
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== stage) return;
      event.preventDefault();
      const point = at(stage, event);
      zoom(2 ** (-event.deltaY / (event.deltaMode ? 6 : 240)), point.x, point.y);
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => {
      const point = at(stage, event);
      zoom(2, point.x, point.y);
    });
    stage.addEventListener("keydown", keys);
    new ResizeObserver(() => { clamp(); changed(); }).observe(stage);
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function keys(event) {
    const arrow = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrow && event.shiftKey) {
      const from = view.cross || { x: Math.floor(view.x), y: Math.floor(view.y) };
      setCross(Math.max(0, Math.min(width - 1, from.x + arrow[0])), Math.max(0, Math.min(height - 1, from.y + arrow[1])));
    } else if (arrow) {
      const step = (0.1 * Math.min(width, height)) / view.zoom;
      move(arrow[0] * step, arrow[1] * step);
    } else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-" || event.key === "_") zoom(1 / 1.5);
    else if (event.key === "0") reset();
    else if (event.key === " ") bayesr.flick(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") event.currentTarget.blur();
    else return;
    event.preventDefault();
  }

  bayesr.view = Object.assign(view, { on, attach, zoomBy: zoom, move, reset, scale, changed });
})();

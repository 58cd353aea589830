/* A rater's page: one image at a time, five scores. It knows images by random names alone, and never a system's. */
"use strict";

(function () {
  const WORDS = ["bad", "poor", "fair", "good", "excellent"];
  const part = (id) => document.getElementById(id);
  const loaded = new Map(); // the name of an image -> its element, kept from being asked for until it was rated
  let state = { done: 0, total: 0, next: [] }, zoom = 1, calibration = [], step = 0, ready = false;

  const anchor = () => calibration[step]; // undefined once calibration is over
  const shownName = () => (anchor() ? anchor().id : state.next[0]);

  function load(name) {
    if (!name || loaded.has(name)) return loaded.get(name);
    const image = new Image();
    image.alt = "The image to rate";
    image.src = "images/" + name;
    image.addEventListener("load", () => fit(image));
    loaded.set(name, image);
    return image;
  }

  /* So many pixels of the screen for a pixel of the image, whatever the browser's own zoom. */
  function fit(image) {
    image.style.width = (image.naturalWidth * zoom) / devicePixelRatio + "px";
    image.style.height = (image.naturalHeight * zoom) / devicePixelRatio + "px";
  }

  async function show() {
    ready = false;
    const name = shownName(), over = !name;
    part("end").hidden = !over;
    for (const id of ["stage", "panel"]) part(id).hidden = over;
    part("progress").max = Math.max(state.total, 1);
    part("progress").value = state.done;
    part("count").textContent = anchor() ? `calibration, ${step + 1} of ${calibration.length}` : `${state.done} of ${state.total}`;
    part("undo").disabled = anchor() ? true : state.done === 0;
    part("skip").hidden = !anchor() || state.done === 0;
    part("stage").replaceChildren();
    if (over) return;
    say();
    const image = load(name);
    try {
      await image.decode();
    } catch {
      loaded.delete(name); // it may be there again
      return fail(await reason(image.src));
    }
    if (name !== shownName()) return;
    fit(image);
    part("stage").replaceChildren(image);
    part("stage").scrollTo(0, 0);
    ready = true;
    load(calibration[step + 1] ? calibration[step + 1].id : anchor() ? state.next[0] : state.next[1]);
  }

  async function reason(address) {
    try {
      return (await (await fetch(address)).json()).error;
    } catch {
      return "The image could not be fetched.";
    }
  }

  function say(text) {
    const asked = anchor()
      ? `To set your scale: this is ${anchor().score === 1 ? "a 1, nearest neighbour" : "a 5, the original"}. Press ${anchor().score}; nothing is scored yet.`
      : "How good does this image look?";
    part("question").textContent = text || asked;
    part("question").classList.toggle("warning", Boolean(text));
  }

  function fail(why) {
    ready = false;
    say(why + " Nothing is lost: start the same command again if it has ended, and open the address that it prints.");
  }

  async function send(path, body) {
    try {
      const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.error);
      return told;
    } catch (error) {
      fail(error instanceof TypeError ? "The command does not answer." : error.message);
      return null;
    }
  }

  async function give(score) {
    if (!ready) return; // an image that is not shown yet has no score
    const button = part("scores").children[score - 1];
    if (anchor()) {
      if (score !== anchor().score) return;
      step += 1;
    } else {
      ready = false;
      const name = state.next[0], told = await send("rate", { id: name, score });
      if (!told) return;
      loaded.delete(name);
      state = told;
    }
    button.classList.add("given");
    setTimeout(() => button.classList.remove("given"), 180);
    show();
  }

  async function undo() {
    if (anchor() || state.done === 0) return;
    ready = false;
    const told = await send("undo", {});
    if (!told) return;
    state = told;
    show();
  }

  WORDS.forEach((word, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-keyshortcuts", String(i + 1));
    for (const [tag, text] of [["b", i + 1], ["span", word]]) {
      const line = document.createElement(tag);
      line.textContent = text;
      button.appendChild(line);
    }
    button.addEventListener("click", () => give(i + 1));
    part("scores").appendChild(button);
  });
  part("undo").addEventListener("click", undo);
  part("back").addEventListener("click", undo);
  part("skip").addEventListener("click", () => { step = calibration.length; show(); });
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return; // a key that is held rates one image
    if (/^[1-5]$/.test(event.key)) give(Number(event.key));
    else if (event.key === "Backspace") undo();
    else return;
    event.preventDefault();
  });
  function follow() { // a window that moves to another screen, or is zoomed
    loaded.forEach((image) => image.complete && fit(image));
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", follow, { once: true });
  }
  follow();

  fetch("study").then((answer) => answer.json()).then((study) => {
    zoom = study.zoom;
    calibration = study.total > study.done ? study.calibration : [];
    state = study;
    show();
  }).catch(() => fail("The command does not answer."));
})();

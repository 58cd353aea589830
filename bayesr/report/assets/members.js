/* Members: decoded when first shown, stepped through, or played at a rate that the reader chooses. */
"use strict";

(function () {
  const { data, colour, state, size } = bayesr;
  const known = new Map(); // number in the page -> promise of codes
  let shown = 0, timer = null;

  function codes(i) {
    if (!known.has(i)) {
      const [height, width] = data.shape;
      known.set(i, bayesr.picture(data.members.images[i], data.bands.length, height, width));
    }
    return known.get(i);
  }

  /* A band of a member in the units of the image, or the mean over bands. */
  function values(all, band) {
    const { low, high } = data.members, bands = data.bands.length, mean = bayesr.layer("mean", band);
    const step = (high - low) / 255;
    return Float32Array.from({ length: size }, (_, i) => {
      if (!(mean[i] === mean[i])) return NaN; // codes have no NaN
      if (band >= 0) return low + step * all[band * size + i];
      let sum = 0;
      for (let b = 0; b < bands; b++) sum += all[b * size + i];
      return low + (step * sum) / bands;
    });
  }

  async function paint() {
    const all = await codes(shown), [height, width] = data.shape, [low, high] = data.display;
    const rgb = state.band < 0
      ? colour.byBands(low, high, data.bands.map((_, band) => values(all, band)))
      : colour.byTable("grey", low, high, values(all, state.band));
    return colour.canvas(height, width, rgb);
  }

  async function valueAt(i) {
    const all = await codes(shown);
    return data.bands.map((_, band) => data.members.low + ((data.members.high - data.members.low) / 255) * all[band * size + i]);
  }

  const count = () => (data.members ? data.members.images.length : 0);

  function show(i) {
    shown = (i + count()) % count();
    const number = data.members.numbers[shown];
    document.getElementById("flick").value = shown;
    document.getElementById("flick").setAttribute("aria-valuetext", `member ${number}`);
    document.getElementById("number").textContent = `${number}`;
    bayesr.refresh("member");
  }

  function flick(by) {
    if (count()) show(shown + by);
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => flick(1), 1000 / Number(document.getElementById("rate").value)) : null;
    const button = document.getElementById("play");
    button.textContent = on ? "Pause" : "Play";
    button.setAttribute("aria-pressed", on);
  }

  /* Controls below the map. Playing starts only on request. */
  function controls(figure) {
    const box = document.createElement("div");
    box.className = "flick screen";
    box.innerHTML = `<button id="play" aria-pressed="false">Play</button>
      <label class="hidden" for="flick">Member</label><input id="flick" type="range" min="0" max="${count() - 1}" step="1" value="0">
      <label class="hidden" for="rate">Members per second</label>
      <select id="rate"><option value="1">1 per second</option><option value="3" selected>3 per second</option><option value="8">8 per second</option></select>`;
    figure.querySelector(".bar").before(box);
    box.querySelector("#flick").addEventListener("input", (event) => show(Number(event.target.value)));
    box.querySelector("#play").addEventListener("click", () => play(timer === null));
    box.querySelector("#rate").addEventListener("change", () => timer !== null && play(true));
    document.addEventListener("visibilitychange", () => document.hidden && play(false));
  }

  Object.assign(bayesr, { members: { codes, values, paint, valueAt, controls, show, count, get shown() { return shown; } }, flick });
})();

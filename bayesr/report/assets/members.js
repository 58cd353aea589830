/* Members: decoded when first shown, stepped through, or played at a rate that the reader chooses; and displays between
 * the mean and a member, after D. Freirich, T. Michaeli, R. Meir, 2021, arXiv:2107.02555. */
"use strict";

(function () {
  const { data, colour, state, size } = bayesr;
  const known = new Map(); // number in the page -> promise of codes
  let shown = 0, timer = null, realism = 1; // 0 shows the mean, 1 the member

  const DISPLAY = "Mean + realism × (member − mean), for display alone: it is no posterior sample, and no interval belongs to it. The mean has the least error, and a member looks most like an image.";

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

  /* A band between the mean and a member: mean + realism (member - mean). */
  function between(all, band) {
    const member = values(all, band), mean = bayesr.layer("mean", band);
    return realism < 1 ? member.map((value, i) => mean[i] + realism * (value - mean[i])) : member;
  }

  async function paint() {
    const all = await codes(shown), [height, width] = data.shape, [low, high] = data.display;
    const rgb = state.band < 0
      ? colour.byBands(low, high, data.bands.map((_, band) => between(all, band)))
      : colour.byTable("grey", low, high, between(all, state.band));
    return colour.canvas(height, width, rgb);
  }

  /* The values of a pixel as they are shown, by band. */
  async function valueAt(i) {
    const all = await codes(shown), { low, high } = data.members;
    return data.bands.map((_, band) => {
      const mean = bayesr.layer("mean", band)[i], member = low + ((high - low) / 255) * all[band * size + i];
      return realism < 1 ? mean + realism * (member - mean) : member;
    });
  }

  const label = () => `${realism < 1 ? "display of " : ""}member ${data.members.numbers[shown]}`;

  function blend(share) {
    realism = share;
    const figure = document.getElementById("map-member"), whole = realism === 1;
    const name = whole ? "A member" : "Between mean and member";
    figure.querySelector("h3").firstChild.textContent = name;
    figure.querySelector(".stage").setAttribute("aria-label", `${name}. ${whole ? "" : DISPLAY}`);
    figure.querySelector("p").textContent = whole ? "" : DISPLAY;
    document.getElementById("share").textContent = whole ? "member" : realism === 0 ? "mean" : `realism ${realism.toFixed(2)}`;
    bayesr.refresh("member");
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
    const mix = document.createElement("div");
    mix.className = "flick screen";
    mix.innerHTML = `<span>Mean</span><input id="realism" type="range" min="0" max="1" step="0.05" value="1" aria-label="Realism, from the mean to the member"><span>Member</span><output id="share" for="realism">member</output>`;
    figure.querySelector(".bar").before(box, mix);
    mix.querySelector("#realism").addEventListener("input", (event) => blend(Number(event.target.value)));
    box.querySelector("#flick").addEventListener("input", (event) => show(Number(event.target.value)));
    box.querySelector("#play").addEventListener("click", () => play(timer === null));
    box.querySelector("#rate").addEventListener("change", () => timer !== null && play(true));
    document.addEventListener("visibilitychange", () => document.hidden && play(false));
  }

  Object.assign(bayesr, { members: { codes, values, paint, valueAt, controls, show, count, blend, label, get shown() { return shown; } }, flick });
})();

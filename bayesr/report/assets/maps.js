/* The maps: content, colours, range of values, and a note on how to read each. */
"use strict";

(function () {
  const { data, colour, view } = bayesr;
  const [height, width] = data.shape, size = height * width;
  const planes = {}, layers = new Map();
  const bands = data.bands.length;
  const state = { band: bands === 3 ? -1 : 0 }; // -1: all bands, colours and means over bands
  const u = data.units ? " " + data.units : "";

  const root = (t) => Math.sign(t) * t * t;

  /* A band of a plane as values or signed roots; derived planes are computed here. */
  function one(name, band) {
    const make = {
      width: () => zip(one("upper", band), one("lower", band), (a, b) => a - b),
      lower: () => interval(band, -1),
      upper: () => interval(band, 1),
      error: () => zip(one("mean", band), one("reference", band), (a, b) => Math.abs(a - b)),
    };
    const plane = planes[name];
    if (!plane) return make[name] ? make[name]() : null;
    const at = plane.bands === 1 ? 0 : band, count = plane.height * plane.width;
    return plane.t.subarray(at * count, (at + 1) * count);
  }

  const zip = (a, b, f) => (a && b ? a.map((value, i) => f(value, b[i])) : null);

  function interval(band, sign) {
    const how = data.intervals;
    if (!how || !planes.std) return null;
    const [low, high] = how.bounds;
    const edge = (mean, std) => Math.max(low, Math.min(high, mean + sign * (how.factor * std + how.pad)));
    return zip(one("mean", band), one("std", band), edge);
  }

  /* A layer as it is shown: one band, or the mean over bands (of variances, not of their roots). */
  function layer(name, band = state.band) {
    const key = `${name} ${band}`;
    if (layers.has(key)) return layers.get(key);
    let made = one(name, Math.max(band, 0));
    const rooted = planes[name] && planes[name].root;
    if (made && band < 0) {
      const all = data.bands.map((_, b) => one(name, b));
      if (name === "state") made = made.map((_, i) => outside(all.map((values) => values[i])));
      else if (all.length > 1) {
        made = made.map((_, i) => {
          const mean = all.reduce((sum, values) => sum + (rooted ? root(values[i]) : values[i]), 0) / all.length;
          return rooted ? Math.sign(mean) * Math.sqrt(Math.abs(mean)) : mean;
        });
      }
    }
    layers.set(key, made);
    return made;
  }

  /* Inside where all bands are inside, else the more frequent of below and above. */
  function outside(states) {
    if (states.some((one) => !(one > 0))) return NaN;
    const below = states.filter((one) => one === 2).length, above = states.filter((one) => one === 3).length;
    return below + above === 0 ? 1 : below > above ? 2 : 3;
  }

  /* A quantile of the values of a layer, estimated from a sample. */
  function quantile(values, share) {
    const step = Math.max(1, Math.floor(values.length / 50000)), some = [];
    for (let i = 0; i < values.length; i += step) if (values[i] === values[i]) some.push(values[i]);
    some.sort((a, b) => a - b);
    return some.length ? some[Math.min(some.length - 1, Math.floor(share * some.length))] : 1;
  }

  const [dark, bright] = data.display;
  const spread = () => quantile(layer("std"), 0.995) || 1;
  const picture = { ramp: "grey", low: () => dark, high: () => bright, values: true };
  const doubt = { ramp: "viridis", low: () => 0, high: spread };

  const MAPS = {
    input: { name: "Input", side: data.input && data.input.side, ...picture, how: `The low-resolution image. One of its pixels covers ${data.scale} × ${data.scale} pixels of the other maps.` },
    mean: { name: "Mean", ...picture, how: "The mean of all members has the smallest expected squared error. It is smoother than any real image: do not judge sharpness or texture here." },
    member: { name: "A member", ...picture, how: "" },
    std: { name: "Standard deviation", ...doubt, how: "Calibrated: the expected size of the error of the mean, for single pixels. Errors of neighbouring pixels are correlated." },
    width: { name: "Width of the interval", ramp: "viridis", low: () => 0, high: () => quantile(layer("width"), 0.995) || 1, how: "Upper minus lower bound. A narrow interval is no proof: it states that errors were small on calibration images like this one." },
    fade: { name: "Mean, faded by uncertainty", ...picture, fade: true, how: "Values fade to grey in five steps as the standard deviation grows. Full colour marks the smallest uncertainty." },
    lower: { name: "Lower bound", ...picture, how: `The lower bound of the ${percent(data.level)} interval of each pixel. It is not a plausible image: pixels do not reach their bounds together.` },
    upper: { name: "Upper bound", ...picture, how: "The upper bound of the same interval. A structure that both bounds show is well supported; a structure in only one of them is not." },
    aleatoric: { name: "Aleatoric", ...doubt, note: "root of variance", how: "Uncertainty that the input leaves open for any model. More training data does not reduce it; an input of higher resolution does." },
    epistemic: { name: "Epistemic", ramp: "diverging", low: () => -spread(), high: spread, middle: 0, note: "signed root", how: "Uncertainty that the model has not learnt to resolve. The unbiased estimate from few members is noisy and can be negative: average it over regions." },
    calibration: { name: "Calibration", ramp: "diverging", log: true, low: () => 1 / reach(), high: () => reach(), middle: 1, how: "The factor on the raw standard deviation. It is above 1 where members vary too little. It was fitted on other images, not on this one." },
    chi: { name: "Chi-squared by region", side: data.check && data.check.region, ramp: "diverging", log: true, low: () => 1 / far(), high: () => far(), middle: 1, how: "The mean of (y − A x)² / variance of the noise in squares of the input. It should be about 1. Below it, members reproduce noise; above it, they contradict the input." },
    null_variance: { name: "Not in the input", ...doubt, note: "root of variance", how: "Spread of the members in the null space of the forward operator, before calibration: detail that the input does not show and the model adds." },
    range_variance: { name: "In the input, blurred by noise", ...doubt, note: "root of variance", how: "Spread of the members in what the input does show: how far noise and an unknown blur leave it open." },
    open_share: { name: "Share that the input leaves open", ramp: "viridis", low: () => 0, high: () => 1, exact: true, most: 1, how: "The diagonal of P = I − A⁺A, a property of the forward operator: how much of a pixel no image of this resolution determines." },
    reference: { name: "Reference", ...picture, how: "The ground truth." },
    error: { name: "Error of the mean", ...doubt, how: "|mean − reference|, in the colours of the standard deviation. Pixels that are brighter here than there have larger errors than predicted." },
    state: { name: "Inside the interval?", states: true, how: `About ${percent(1 - data.level)} of the pixels of a band should lie outside, scattered. Whole structures outside are errors that the product did not predict.` },
    region: { name: "Coverage by region", side: data.evidence && data.evidence.region, ramp: "diverging", flip: true, low: () => data.level - off(), high: () => data.level + off(), middle: data.level, exact: true, most: 1, how: "The empirical coverage in squares, of all bands together. Brown: below the nominal level. Coverage varies between regions even where the overall coverage is correct." },
  };

  const reach = () => Math.max(1.2, ...[0.005, 0.995].map((q) => Math.max(quantile(layer("calibration"), q), 1 / quantile(layer("calibration"), q))));
  const far = () => Math.max(1.5, ...Array.from(layer("chi"), (v) => (v > 0 ? Math.max(v, 1 / v) : 1)));
  const off = () => Math.max(0.05, ...Array.from(layer("region"), (v) => (v === v ? Math.abs(v - data.level) : 0)));

  function percent(share) {
    return `${Number((100 * share).toPrecision(3))}%`;
  }

  /* Format a value with the digits that its step justifies. */
  function text(value, step) {
    if (!(value === value)) return "–";
    const digits = Math.max(0, Math.min(9, Math.ceil(-Math.log10(step || Math.abs(value) / 1e3 || 1))));
    return digits >= 6 || Math.abs(value) >= 1e6 ? Number(value.toPrecision(4)).toString() : value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1");
  }

  const coloured = (id) => ["input", "mean", "member", "reference", "lower", "upper", "fade"].includes(id) && state.band < 0;
  const layerOf = (id) => (id === "fade" ? "mean" : id);

  /* The canvas of a map, with one pixel per value. */
  function painted(id) {
    const map = MAPS[id], low = map.low && map.low(), high = map.high && map.high();
    if (map.states) return colour.canvas(height, width, colour.byState(layer("state")));
    const plane = planes[layerOf(id)];
    const [tall, wide] = plane ? [plane.height, plane.width] : [height, width];
    let rgb;
    if (coloured(id)) rgb = colour.byBands(low, high, data.bands.map((_, band) => one(layerOf(id), band)));
    else if (map.fade) rgb = colour.byTable("viridis", low, high, layer("mean")); // a faded grey would look like another value
    else if (map.log) rgb = colour.byTable(map.ramp, Math.log(low), Math.log(high), layer(id).map(Math.log));
    else if (map.flip) rgb = colour.byTable(map.ramp, -high, -low, layer(id).map((v) => -v));
    else rgb = colour.byTable(map.ramp, low, high, layer(layerOf(id)));
    if (map.fade) rgb = colour.byFading(rgb, layer("std"), spread());
    return colour.canvas(tall, wide, rgb);
  }

  const has = (id) => id === "member" ? Boolean(data.members) : id === "fade" ? Boolean(planes.std) : Boolean(layer(layerOf(id)));

  function choose(band) {
    state.band = band;
    bayesr.redraw();
  }

  Object.assign(bayesr, { planes, state, MAPS, layer, one, painted, has, coloured, choose, text, percent, spread, units: u, size });
})();

// The overlay explorer: the widget in JupyterLab and the exported page are this one file.
//
// All that is drawn is blended here, at the resolution of the screen, so that a slider answers
// within a frame whatever the size of the picture. explorer.py says the same in NumPy; the tests
// compare the two pixel by pixel. Names reach the page as text only (textContent), never as HTML.
//
//   1 pixels   2 scores   3 data   4 elements   5 the view   6 the exported page   7 style

const VOID = 255;
const BARE = 254; // the code of a pixel that stays unpainted
const OPAQUE = 65536;
const MOST_ZOOM = 8; // at most so far in that this many picture pixels fill a panel

// ------------------------------------------------------------------------------------ 1 pixels

/** The part of an axis that is seen: its first picture pixel and how many there are. */
function part(size, zoom, centre) {
  const span = size / zoom;
  return { start: Math.min(Math.max(centre * size - span / 2, 0), size - span), span };
}

/** Which of `size` picture pixels each of `shown` screen pixels shows, along one axis. */
function axis(size, shown, zoom, centre) {
  const { start, span } = part(size, zoom, centre);
  return Int32Array.from({ length: shown }, (_, i) =>
    Math.min(Math.floor(start + ((i + 0.5) * span) / shown), size - 1));
}

/** A picture {data: Uint32Array, width, height} at half its size: each pixel the mean of four. */
function halve({ data, width, height }) {
  const w = (width + 1) >> 1, h = (height + 1) >> 1;
  const out = new Uint32Array(w * h);
  for (let y = 0, o = 0; y < h; y++) {
    const upper = 2 * y * width, lower = Math.min(2 * y + 1, height - 1) * width;
    for (let x = 0; x < w; x++, o++) {
      const left = 2 * x, right = Math.min(left + 1, width - 1);
      const a = data[upper + left], b = data[upper + right];
      const c = data[lower + left], d = data[lower + right];
      // Two channels at a time: four times 255 and 2 fit into the 16 bits that each has.
      const even = (a & 0xff00ff) + (b & 0xff00ff) + (c & 0xff00ff) + (d & 0xff00ff) + 0x20002;
      const odd = ((a >>> 8) & 0xff) + ((b >>> 8) & 0xff) + ((c >>> 8) & 0xff) + ((d >>> 8) & 0xff);
      out[o] = ((even >>> 2) & 0xff00ff) | (((odd + 2) >>> 2) << 8) | 0xff000000;
    }
  }
  return { data: out, width: w, height: h };
}

/** The picture at some rows and columns: shrunk pictures are averaged first, ids never are. */
function sampleImage(levels, rows, columns, step) {
  let halvings = 0;
  for (; step >= 2; step /= 2) halvings++;
  while (levels.length <= halvings) levels.push(halve(levels.at(-1)));
  const { data, width } = levels[halvings];
  return sample(data, width, rows.map((y) => y >> halvings), columns.map((x) => x >> halvings));
}

/** The values of a plane at some rows and columns. */
function sample(plane, width, rows, columns) {
  const across = columns.length;
  const out = new plane.constructor(rows.length * across);
  for (let y = 0, o = 0; y < rows.length; y++) {
    const row = rows[y] * width;
    for (let x = 0; x < across; x++) out[o++] = plane[row + columns[x]];
  }
  return out;
}

/** A share 0..1 in 8 bits, rounded half up. */
const level = (share) => Math.floor(Math.fround(Math.fround(Math.fround(share) * 255) + 0.5));

/** Ids after the cut: what is less sure is background. */
function decide(ids, trust, cut) {
  return trust && cut ? ids.map((id, i) => (trust[i] < cut ? 0 : id)) : ids;
}

/** Keep the codes within `line` pixels (straight) of another code; the others become BARE. */
function outline(codes, width, line) {
  const out = new Uint8Array(codes.length).fill(BARE);
  for (let y = 0, i = 0, n = codes.length; i < n; y++) {
    for (let x = 0; x < width; x++, i++) {
      const code = codes[i];
      for (let far = 1; far <= line; far++) {
        const down = far * width;
        if ((x >= far && codes[i - far] !== code) || (x + far < width && codes[i + far] !== code) ||
            (i >= down && codes[i - down] !== code) || (i + down < n && codes[i + down] !== code)) {
          out[i] = code;
          break;
        }
      }
    }
  }
  return out;
}

/** How a prediction errs, by truth * 256 + id: 0..4 as in segutils.show.ERRORS, VOID, or BARE. */
function errorKinds(seen) {
  const table = new Uint8Array(65536);
  for (let truth = 0; truth < 256; truth++) {
    for (let id = 0; id < 256; id++) {
      const unseen = truth === VOID ? !seen[VOID] : !seen[truth] && !seen[id];
      const kind = truth === VOID ? VOID : id === truth ? +(truth > 0) : id === 0 ? 2 :
        truth === 0 ? 3 : 4;
      table[truth * 256 + id] = unseen ? BARE : kind;
    }
  }
  return table;
}

/** Mix the columns from..to of a layer into an image: out, image Uint32Array of RGBA. */
function blend(out, image, width, { codes, colours, weights, trust }, from, to) {
  for (let row = 0; row < out.length; row += width) {
    for (let i = row + from, end = row + to; i < end; i++) {
      const code = codes[i], pixel = image[i];
      let weight = weights[code];
      if (trust) weight = ((weight * trust[i]) / 255) | 0;
      if (!weight) {
        out[i] = pixel;
        continue;
      }
      const rest = OPAQUE - weight, c = 3 * code;
      const r = ((pixel & 255) * rest + colours[c] * weight + 32768) >>> 16;
      const g = (((pixel >>> 8) & 255) * rest + colours[c + 1] * weight + 32768) >>> 16;
      const b = (((pixel >>> 16) & 255) * rest + colours[c + 2] * weight + 32768) >>> 16;
      out[i] = r | (g << 8) | (b << 16) | 0xff000000;
    }
  }
}

// ------------------------------------------------------------------------------------ 2 scores

/** IoU of each class when what is below a level is background; explorer.py's `tally` counted. */
function iouAt(counts, classes, cut) {
  const called = classes * 256, fooled = classes * 512, truth = fooled + 256;
  let given = 0, wrong = 0; // what the cut gives to the background, and what was background
  for (let q = 0; q < cut; q++) wrong += counts[fooled + q];
  const scores = new Array(classes);
  for (let c = classes - 1; c >= 0; c--) {
    let hits = 0, found = 0;
    for (let q = 0; q < 256; q++) {
      const kept = q >= cut || c === 0;
      if (kept) {
        hits += counts[c * 256 + q];
        found += counts[called + c * 256 + q];
      } else given += counts[called + c * 256 + q];
    }
    if (c === 0) {
      hits += wrong;
      found += given;
    }
    scores[c] = hits / (found + counts[truth + c] - hits); // 0 / 0: NaN, the class is absent
  }
  return scores;
}

/** The mean over some classes, without those that are absent. */
function meanOf(scores, classes) {
  const there = classes.map((c) => scores[c]).filter((s) => !Number.isNaN(s) && s !== undefined);
  return there.length ? there.reduce((a, b) => a + b) / there.length : NaN;
}

// -------------------------------------------------------------------------------------- 3 data

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

async function decodeImage(bytes) {
  const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), options);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return [{ data: new Uint32Array(data.buffer), width, height }];
}

const DECODERS = {
  image: decodeImage,
  thumbnail: async (bytes) => URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" })),
  truth: async (bytes) => new Uint8Array(await inflate(bytes)),
  ids: async (bytes) => new Uint8Array(await inflate(bytes)),
  trust: async (bytes) => new Uint8Array(await inflate(bytes)),
  probabilities: async (bytes) => new Uint8Array(await inflate(bytes)),
  owners: async (bytes) => new Uint16Array(await inflate(bytes)),
  objects: async (bytes) => JSON.parse(new TextDecoder().decode(await inflate(bytes))),
  tally: async (bytes) => new Uint32Array(await inflate(bytes)),
};
const LASTING = new Set(["thumbnail", "tally"]); // small, and wanted for all pictures

/** A part as bytes: from the kernel a DataView, from the exported page base64. */
function toBytes(value) {
  if (typeof value === "string") return Uint8Array.from(atob(value), (c) => c.charCodeAt(0));
  return new Uint8Array(value.buffer ?? value, value.byteOffset ?? 0, value.byteLength);
}

/** What came from Python, by key ("3/ids/0"): each part travels once, and is decoded when used. */
class Store {
  constructor(model, arrived) {
    this.model = model;
    this.arrived = arrived; // called with the kind of a part that was decoded
    this.packed = new Map();
    this.decoded = new Map();
    this.busy = new Set();
    this.wanted = new Set();
    this.asked = 0;
    this.recent = []; // pictures whose parts stay decoded, the newest last
    this.error = "";
    this.unpack = () => this.take();
    model.on("change:_parcel", this.unpack);
    this.take();
  }

  close() {
    this.model.off("change:_parcel", this.unpack);
    for (const [key, value] of this.decoded) {
      if (key.endsWith("/thumbnail")) URL.revokeObjectURL(value);
    }
  }

  take() {
    const parcel = this.model.get("_parcel");
    this.error = parcel.error ?? "";
    for (const [key, value] of Object.entries(parcel)) {
      if (key === "error") continue;
      if (!this.packed.has(key)) this.busy.delete(key); // it was asked for
      this.packed.set(key, value);
      if (key.endsWith("/tally")) this.get(key);
    }
    this.arrived("parcel");
  }

  /** A decoded part; null while it is on its way (then `arrived` will be called). */
  get(key) {
    if (this.decoded.has(key)) return this.decoded.get(key);
    if (this.busy.has(key)) return null;
    this.busy.add(key);
    if (this.packed.has(key)) this.decode(key);
    else this.ask(key);
    return null;
  }

  async decode(key) {
    const kind = key.split("/")[1];
    try {
      this.decoded.set(key, await DECODERS[kind](toBytes(this.packed.get(key))));
    } catch (error) {
      this.error = `${key} cannot be read: ${error}`;
    }
    this.busy.delete(key);
    this.arrived(kind);
  }

  /** Ask Python for parts: all that are missed within a step go in one message. */
  ask(key) {
    if (!this.wanted.size) queueMicrotask(() => this.post());
    this.wanted.add(key);
  }

  post() {
    const keys = [...this.wanted];
    this.wanted.clear();
    this.asked += 1;
    this.model.set("_want", { n: Date.now() + this.asked, keys });
    this.model.save_changes();
  }

  /** Keep the decoded parts of the last few pictures only: fewer, the larger they are. */
  visit(picture, pixels) {
    if (this.recent.at(-1) === picture) return;
    for (const key of this.busy) if (!this.packed.has(key)) this.busy.delete(key); // ask again
    this.recent = [...this.recent.filter((p) => p !== picture), picture];
    while (this.recent.length > Math.max(2, Math.floor(16e6 / pixels))) {
      const old = `${this.recent.shift()}/`;
      for (const key of this.decoded.keys()) {
        if (key.startsWith(old) && !LASTING.has(key.split("/")[1])) this.decoded.delete(key);
      }
    }
  }
}

// ---------------------------------------------------------------------------------- 4 elements

/** An element; properties that it lacks become attributes, "on..." listeners, strings text. */
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.flat());
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

function drawn(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const ICONS = {
  previous: "M10 3 5 8l5 5",
  next: "M6 3l5 5-5 5",
  minus: "M3 8h10",
  plus: "M3 8h10M8 3v10",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  save: "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
};

function iconButton(icon, label, onclick) {
  const path = drawn("path", { d: ICONS[icon] });
  const picture = drawn("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path);
  return make("button", { type: "button", title: label, "aria-label": label, onclick }, picture);
}

const rgb = (colours, code) => `rgb(${colours.slice(3 * code, 3 * code + 3).join(",")})`;
const fromHex = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const percent = (share) => `${Math.round(100 * share)} %`;
const score = (iou) => (Number.isNaN(iou) || iou === undefined ? "–" : iou.toFixed(2));
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

// ---------------------------------------------------------------------------------- 5 the view

const STATE = ["picture", "panels", "alpha", "fill", "line", "overlay", "layer", "shown", "palette",
  "confidence", "threshold", "score", "wipe", "zoom", "centre", "worst", "judge", "picked_at"];

const KEYS = [
  ["0 … 9, v", "a class (or void) on and off"],
  ["space", "overlay on and off"],
  ["l", "classes, errors, instances"],
  ["o", "fill or outline"],
  ["c", "confidence as transparency"],
  ["n, p", "next, previous picture"],
  ["+, −, f", "zoom in, out, fit"],
  ["arrows", "on a picture: from pixel to pixel"],
  ["shift + arrows", "on a picture: pan"],
  ["enter", "on a picture: pick the pixel"],
  ["tab", "to every control; arrows move it"],
];

/** A widget's view: elements, what they show, and what they set. */
class View {
  constructor(model, root) {
    this.model = model;
    this.about = model.get("_about");
    this.classes = this.about.classes.length;
    this.ids = [...this.about.classes.keys(), VOID];
    this.models = new Map(this.about.models.map((m, number) => [m.name, { ...m, number }]));
    this.palettes = new Map(this.about.palettes.map((p) => [p.name, fromHex(p.colours)]));
    this.errorColours = fromHex(this.about.errors.colours);
    this.anyInstances = this.about.models.some((m) => m.instances);
    this.dirty = new Set(STATE);
    this.memory = new Map(); // what was sampled for the panels, by panel
    this.controls = []; // each: the name of a trait, and a function that shows its value
    this.hovered = null; // {x, y} under the pointer or the cursor keys
    this.build(root);
    this.store = new Store(model, (kind) => this.changed(kind));
    this.listeners = STATE.map((name) => [`change:${name}`, () => this.changed(name)]);
    for (const [event, listener] of this.listeners) model.on(event, listener);
    this.observer = new ResizeObserver(() => this.changed("size"));
    this.observer.observe(this.grid);
    this.flush();
  }

  close() {
    for (const [event, listener] of this.listeners) this.model.off(event, listener);
    this.observer.disconnect();
    this.store.close();
  }

  get(name) {
    return this.model.get(name);
  }

  /** Set traits: what shows them is drawn first, then Python is told. */
  put(changes) {
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.model.save_changes();
  }

  /** Draw at once, but only once a frame: later changes of a frame wait for the next. */
  changed(name) {
    this.dirty.add(name);
    if (!this.store || this.waiting) return;
    this.waiting = true;
    this.flush();
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.dirty.size) this.changed("frame");
    });
  }

  flush() {
    const dirty = this.dirty;
    const any = (...names) => names.some((name) => dirty.has(name));
    this.dirty = new Set();
    for (const [name, show] of this.controls) if (dirty.has(name)) show(this.get(name));
    if (dirty.size === 1 && dirty.has("hover")) this.mark();
    else this.draw();
    if (any("palette", "shown", "layer")) this.showLegend();
    if (any("worst", "judge", "threshold", "score", "tally")) this.sort();
    const cuts = any("threshold", "score"), others = any("picture", "panels", "shown", "tally");
    if (cuts || any("picture", "thumbnail", "worst", "judge", "tally")) this.showStrip();
    if (cuts || others || any("palette")) this.showScores();
    if (others) this.showCurve();
    if (cuts || others) this.moveCuts();
    this.read();
    this.say();
  }

  // ---------------------------------------------------------------- drawing

  /** The parts of the picture that the panels need; null while one is on its way. */
  parts(names) {
    const i = this.get("picture");
    const [height, width] = this.about.sizes[i];
    const small = Math.max(width, height) <= this.about.onDemand;
    const parts = { i, height, width, models: new Map() };
    let ready = true;
    const need = (key) => {
      const value = this.store.get(`${i}/${key}`);
      ready &&= value !== null;
      return value;
    };
    this.store.visit(i, width * height);
    parts.levels = need("image");
    parts.truth = need("truth");
    this.store.get(`${i}/tally`); // the scores may follow
    for (const name of names) {
      const model = this.models.get(name);
      if (!model) continue;
      const held = {}, m = model.number;
      if (model.instances) {
        held.owners = need(`owners/${m}`);
        held.objects = need(`objects/${m}`);
      } else {
        held.ids = need(`ids/${m}`);
        const cut = this.get("threshold") > 0 || this.get("confidence");
        if (model.trust && (small || cut)) held.trust = need(`trust/${m}`);
      }
      parts.models.set(name, held);
    }
    return ready ? parts : null;
  }

  draw() {
    const names = this.get("panels");
    const parts = this.parts(names);
    this.pending = !parts;
    if (!parts) return;
    this.current = parts;
    const size = this.place(parts, names);
    if (!size) return;
    const at = this.sampling(parts, ...size);
    for (const name of names) {
      this.figures.get(name).context.putImageData(this.render(parts, name, at, this.memory), 0, 0);
    }
    this.mark();
  }

  /** Give the panels their size on the page; [width, height] in device pixels. */
  place({ width, height }, names) {
    const gap = 10, room = this.grid.clientWidth;
    if (!room || !names.length) return null;
    const columns = clamp(Math.floor((room + gap) / (150 + gap)), 1, names.length);
    const rows = Math.ceil(names.length / columns);
    const across = Math.ceil(names.length / rows);
    const cell = (room - gap * (across - 1)) / across;
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    const aspect = height / width;
    const w = Math.max(1, Math.floor(Math.min(cell, 620 / aspect) * scale));
    const h = Math.max(1, Math.round(w * aspect));
    const key = [w, h, across, scale, ...names].join("|");
    if (key === this.placed) return [w, h];
    this.placed = key;
    this.grid.style.gridTemplateColumns = `repeat(${across}, ${w / scale}px)`;
    this.imageData = new ImageData(w, h);
    for (const [name, { figure, canvas }] of this.figures) {
      figure.hidden = !names.includes(name);
      figure.style.order = names.indexOf(name);
      if (figure.hidden) continue;
      Object.assign(canvas, { width: w, height: h });
      Object.assign(canvas.style, { width: `${w / scale}px`, height: `${h / scale}px` });
    }
    return [w, h];
  }

  /** Which picture pixels a screen of w x h shows. */
  sampling({ i, width, height }, w, h) {
    const zoom = this.get("zoom"), [x, y] = this.get("centre");
    return {
      key: [i, w, h, zoom, x, y].join(), width: w, height: h, step: width / zoom / w,
      columns: axis(width, w, zoom, x), rows: axis(height, h, zoom, y),
    };
  }

  /** Make something again only when its key has changed. */
  once(memory, name, key, build) {
    const known = memory.get(name);
    if (known?.key === key) return known.value;
    const value = build();
    memory.set(name, { key, value });
    return value;
  }

  /** A panel as ImageData: the image, and a layer blended into it. */
  render(parts, name, at, memory) {
    const { width, height } = at;
    const same = this.imageData?.width === width && this.imageData?.height === height;
    const target = same ? this.imageData : new ImageData(width, height);
    const out = new Uint32Array(target.data.buffer);
    const image = this.once(memory, "image", at.key, () =>
      sampleImage(parts.levels, at.rows, at.columns, at.step));
    if (name === "image" || !this.get("overlay")) {
      out.set(image);
      return target;
    }
    const wiped = name === "truth" ? width : Math.floor(this.get("wipe") * width + 0.5);
    if (wiped > 0) blend(out, image, width, this.truthLayer(parts, at, memory), 0, wiped);
    if (wiped < width) {
      blend(out, image, width, this.modelLayer(parts, name, at, memory), wiped, width);
    }
    return target;
  }

  truthLayer(parts, at, memory) {
    const codes = this.truthCodes(parts, at, memory);
    return { codes: this.edged("truth", codes, at, at.key, memory), ...this.table("classes") };
  }

  truthCodes(parts, at, memory) {
    return this.once(memory, "truth", at.key, () =>
      sample(parts.truth, parts.width, at.rows, at.columns));
  }

  /** Codes of a layer, or of its outlines. */
  edged(name, codes, at, key, memory) {
    if (this.get("fill")) return codes;
    const line = this.get("line");
    return this.once(memory, `${name}: outline`, `${key},${line}`, () =>
      outline(codes, at.width, line));
  }

  /** Colours and weights of codes; a weight of OPAQUE hides the image. */
  table(kind) {
    const weight = Math.floor(this.get("alpha") * OPAQUE + 0.5);
    const seen = kind === "classes" ? this.seen() : new Uint8Array(256).fill(1);
    seen[BARE] = 0;
    return {
      colours: kind === "errors" ? this.errorColours : this.palettes.get(this.get("palette")),
      weights: Int32Array.from(seen, (on) => on * weight),
    };
  }

  /** 1 for each id that is shown. */
  seen() {
    const seen = new Uint8Array(256);
    for (const id of this.get("shown")) seen[id] = 1;
    return seen;
  }

  modelLayer(parts, name, at, memory) {
    const model = this.models.get(name);
    const chosen = this.get("layer");
    const kind = chosen === "instances" && !model.instances ? "classes" : chosen;
    const { ids, trust, owners } = this.sampled(parts, name, at, memory);
    const cut = level(this.get(model.instances ? "score" : "threshold"));
    const key = [at.key, kind, cut, ...(kind === "classes" ? [] : this.get("shown"))].join();
    const codes = this.once(memory, `${name}: codes`, key, () => {
      const decided = decide(ids, trust, cut);
      if (kind === "classes") return decided;
      const seen = this.seen();
      if (kind === "instances") {
        return decided.map((id, i) => (id && seen[id] ? 1 + ((owners[i] - 1) % 253) : BARE));
      }
      const truth = this.truthCodes(parts, at, memory);
      const kinds = errorKinds(seen);
      return decided.map((id, i) => kinds[truth[i] * 256 + id]);
    });
    const thin = this.get("confidence") ? trust : null;
    return { codes: this.edged(name, codes, at, key, memory), trust: thin, ...this.table(kind) };
  }

  /** Ids, trust and owners of a model on the screen's pixels. */
  sampled({ width, models }, name, { key, rows, columns }, memory) {
    const held = models.get(name);
    const full = `${key},${!!held.trust}`;
    return this.once(memory, `${name}: sampled`, full, () => {
      const pick = (plane) => (plane ? sample(plane, width, rows, columns) : null);
      if (!held.owners) return { ids: pick(held.ids), trust: pick(held.trust) };
      const owners = pick(held.owners);
      const labels = Uint8Array.of(0, ...held.objects.map(([label]) => label));
      const levels = Uint8Array.of(255, ...held.objects.map(([, s]) => level(s)));
      return {
        owners, ids: Uint8Array.from(owners, (k) => labels[k]),
        trust: Uint8Array.from(owners, (k) => levels[k]),
      };
    });
  }

  /** Show where the cursor and the picked pixel are, on every panel, and the wipe's divider. */
  mark() {
    if (!this.current) return;
    const { i, width, height } = this.current;
    const zoom = this.get("zoom"), [cx, cy] = this.get("centre");
    const across = part(width, zoom, cx), down = part(height, zoom, cy);
    const [picture, x, y] = this.get("picked_at");
    const picked = picture === i ? { x, y } : null;
    const wipe = this.get("wipe");
    for (const { cursor, pin, divider } of this.figures.values()) {
      for (const [node, pixel] of [[cursor, this.hovered], [pin, picked]]) {
        const left = pixel && (pixel.x - across.start) / across.span;
        const top = pixel && (pixel.y - down.start) / down.span;
        node.hidden = !pixel || left < -0.01 || left > 1 || top < -0.01 || top > 1;
        if (node.hidden) continue;
        Object.assign(node.style, { left: percentage(left), top: percentage(top),
          width: percentage(1 / across.span), height: percentage(1 / down.span) });
      }
      if (divider) {
        divider.style.left = percentage(wipe);
        divider.setAttribute("aria-valuenow", Math.round(100 * wipe));
      }
    }
  }

  // ---------------------------------------------------------------- building

  build(root) {
    const style = make("style", {}, STYLE);
    this.live = make("div", { className: "sx-hidden", "aria-live": "polite" });
    this.status = make("div", { className: "sx-status", role: "status" });
    this.grid = make("div", { className: "sx-grid" });
    this.figures = new Map();
    for (const name of ["image", "truth", ...this.models.keys()]) this.buildPanel(name);
    this.root = make("section", {
      className: "sx", "aria-label": "Overlay explorer", onkeydown: (event) => this.press(event),
    }, this.buildTop(), this.buildTools(), this.buildLegend(), this.status, this.grid,
    this.buildStrip(), this.buildCards(), this.live);
    this.root.view = this; // for tests, and for whoever wants to look
    root.append(style, this.root);
  }

  buildTop() {
    this.title = make("strong", { className: "sx-title" });
    this.count = make("span", { className: "sx-quiet" });
    this.magnified = make("span", { className: "sx-quiet sx-number" });
    this.controls.push(["zoom", (zoom) => {
      this.magnified.textContent = `${Math.round(100 * zoom)} %`;
    }]);
    return make("header", { className: "sx-row" },
      make("span", { className: "sx-buttons" },
        iconButton("previous", "Previous picture (p)", () => this.turn(-1)),
        iconButton("next", "Next picture (n)", () => this.turn(1))),
      this.title, this.count,
      make("span", { className: "sx-space" }), this.buildPanelChips(),
      make("span", { className: "sx-buttons", role: "group", "aria-label": "Zoom" },
        iconButton("minus", "Zoom out (−)", () => this.magnify(1 / 1.5)),
        this.magnified,
        iconButton("plus", "Zoom in (+)", () => this.magnify(1.5)),
        iconButton("fit", "Show the whole picture (f)", () => this.fit())),
      make("span", { className: "sx-buttons" },
        iconButton("save", "Save the view as PNG, at full resolution", () => this.save()),
        this.buildHelp()));
  }

  buildHelp() {
    const rows = KEYS.map(([keys, what]) =>
      make("tr", {}, make("th", { scope: "row" }, keys), make("td", {}, what)));
    const summary = make("summary", { title: "Keys", "aria-label": "Keys" }, "?");
    const help = make("details", { className: "sx-help" }, summary,
      make("div", { className: "sx-sheet" }, make("table", {}, make("tbody", {}, rows)),
        make("p", {}, "Drag to pan, Ctrl and wheel (or a double click) to zoom, click to pick a "
          + "pixel, drag the white line to wipe.")));
    help.addEventListener("focusout", (event) => {
      if (!help.contains(event.relatedTarget)) help.open = false;
    });
    return help;
  }

  buildTools() {
    const layers = [["classes", "Classes"], ["errors", "Errors"], ["instances", "Instances"]];
    return make("div", { className: "sx-row sx-tools" },
      this.choice("layer", "What is painted", layers.slice(0, this.anyInstances ? 3 : 2)),
      this.choice("fill", "Regions", [[true, "Fill"], [false, "Outline"]]),
      this.slider("alpha", "Opacity", 0.02),
      this.slider("wipe", "Wipe", 0.01, "Wipe: truth at the left, prediction at the right"));
  }

  buildPalettes() {
    const group = (label, safe) => make("optgroup", { label }, this.about.palettes
      .filter((p) => p.safe === safe).map((p) => make("option", { value: p.name }, p.title)));
    const select = make("select", { title: "Colours of the classes",
      "aria-label": "Colours of the classes",
      onchange: () => this.put({ palette: select.value }) },
      group("safe for colour-blind readers", true), group("not safe for them", false));
    this.controls.push(["palette", (value) => { select.value = value; }]);
    return make("span", { className: "sx-palette" }, select);
  }

  slider(name, label, step, title = label) {
    const input = make("input", { type: "range", min: 0, max: 1, step, title, "aria-label": title,
      oninput: () => this.put({ [name]: Number(input.value) }) });
    const value = make("output", { className: "sx-number" });
    this.controls.push([name, (now) => {
      if (Number(input.value) !== now) input.value = now;
      value.textContent = percent(now);
      input.setAttribute("aria-valuetext", percent(now));
    }]);
    return make("label", { className: `sx-field sx-slider sx-${name}` }, make("span", {}, label),
      input, value);
  }

  /** A few options side by side, of which one is chosen: radio buttons in other clothes. */
  choice(name, label, options) {
    const group = `sx-${name}-${Math.random().toString(36).slice(2)}`;
    const inputs = options.map(([value]) => make("input", { type: "radio", name: group,
      onchange: () => this.put({ [name]: value }) }));
    this.controls.push([name, (now) => {
      options.forEach(([value], k) => { inputs[k].checked = value === now; });
    }]);
    return make("span", { className: `sx-choice sx-${name}`, role: "radiogroup",
      "aria-label": label }, options.map(([, text], k) =>
      make("label", {}, inputs[k], make("span", {}, text))));
  }

  tick(name, label) {
    const input = make("input", { type: "checkbox",
      onchange: () => this.put({ [name]: input.checked }) });
    this.controls.push([name, (now) => { input.checked = now; }]);
    return make("label", { className: `sx-field sx-${name}` }, input, make("span", {}, label));
  }

  buildLegend() {
    this.chips = new Map(this.ids.map((id) => {
      const name = id === VOID ? "void" : this.about.classes[id];
      const key = id === VOID ? "v" : id < 10 ? String(id) : "";
      const swatch = make("i", { className: "sx-swatch" });
      const chip = make("button", { type: "button", className: "sx-chip", title: `${name} (${key})`,
        onclick: () => this.toggle("shown", id) }, swatch,
      make("span", { className: "sx-name" }, name), key ? make("kbd", {}, key) : []);
      return [id, { chip, swatch }];
    }));
    this.marks = make("span", { className: "sx-marks" });
    return make("div", { className: "sx-row sx-legend" },
      make("span", { className: "sx-chips", role: "group", "aria-label": "Classes" },
        [...this.chips.values()].map(({ chip }) => chip)), this.marks,
      make("span", { className: "sx-space" }), this.buildPalettes());
  }

  buildPanelChips() {
    this.panelChips = new Map([...this.figures.keys()].map((name) => [name, make("button", {
      type: "button", className: "sx-chip", title: `Panel: ${this.named(name)}`,
      onclick: () => this.toggle("panels", name),
    }, make("span", { className: "sx-name" }, this.named(name)))]));
    this.controls.push(["panels", (panels) => {
      for (const [name, chip] of this.panelChips) {
        chip.setAttribute("aria-pressed", panels.includes(name));
      }
    }]);
    return make("span", { className: "sx-chips", role: "group", "aria-label": "Panels" },
      [...this.panelChips.values()]);
  }

  named(panel) {
    return this.models.has(panel) ? panel : panel === "image" ? "Image" : "Truth";
  }

  buildPanel(name) {
    const label = this.named(name);
    const canvas = make("canvas", { tabIndex: 0, role: "application", "data-panel": name,
      "aria-label": `${label}: arrows go from pixel to pixel, enter picks one` });
    const cursor = make("i", { className: "sx-cursor", hidden: true });
    const pin = make("i", { className: "sx-cursor sx-pin", hidden: true });
    const stage = make("div", { className: "sx-stage" }, canvas, cursor, pin);
    const divider = this.models.has(name) ? this.buildDivider(label, stage) : null;
    const value = make("span", { className: "sx-number sx-quiet" });
    const line = this.models.get(name)?.line;
    const dash = line ? make("i", { className: "sx-dash" }) : "";
    if (line) dash.style.background = line;
    const figure = make("figure", {}, make("figcaption", {},
      make("span", { className: "sx-name", title: label }, dash, label), value), stage);
    const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.figures.set(name, { figure, canvas, context, cursor, pin, divider, value });
    this.listen(canvas);
    this.grid.append(figure);
  }

  buildDivider(label, stage) {
    const move = (to) => this.put({ wipe: clamp(Math.round(to * 1000) / 1000, 0, 1) });
    const steps = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02,
      PageDown: -0.2, PageUp: 0.2, Home: -1, End: 1 };
    const divider = make("div", { className: "sx-divider", tabIndex: 0, role: "slider",
      "aria-label": `Wipe between truth and ${label}`, "aria-valuemin": 0, "aria-valuemax": 100,
      onkeydown: (event) => {
        if (!(event.key in steps)) return;
        event.preventDefault();
        event.stopPropagation();
        move(this.get("wipe") + steps[event.key]);
      },
      onpointerdown: (event) => divider.setPointerCapture(event.pointerId),
      onpointermove: (event) => {
        if (!divider.hasPointerCapture(event.pointerId)) return;
        const box = stage.getBoundingClientRect();
        move((event.clientX - box.left) / box.width);
      } });
    stage.append(divider);
    return divider;
  }

  buildStrip() {
    const byClass = (id) => make("option", { value: id }, id < 0 ? "as given" :
      `worst ${this.about.classes[id]} first`);
    const worst = make("select", { "aria-label": "Order of the pictures",
      onchange: () => this.rank({ worst: Number(worst.value) }) },
    [-1, ...this.about.classes.keys()].map(byClass));
    this.controls.push(["worst", (value) => { worst.value = value; }]);
    const judge = make("select", { onchange: () => this.rank({ judge: judge.value }) },
      [...this.models.keys()].map((name) => make("option", { value: name }, name)));
    this.controls.push(["judge", (value) => { judge.value = value; }]);
    this.judged = make("label", { className: "sx-field" }, make("span", {}, "of"), judge);
    this.scoreAll = make("button", { type: "button", className: "sx-all",
      title: "Run every model on every picture", onclick: () => {
        this.scoreAll.disabled = true;
        this.store.ask("scores");
      } }, "Score all pictures");
    this.thumbnails = this.about.names.map((name, i) => {
      const image = make("img", { alt: "", draggable: false });
      const label = make("span", { className: "sx-name" }, name);
      const button = make("button", { type: "button", role: "option", title: name, tabIndex: -1,
        onclick: () => this.put({ picture: i }) }, image, label);
      return { image, label, button };
    });
    this.strip = make("div", { className: "sx-strip", role: "listbox", tabIndex: -1,
      "aria-label": "Pictures", "aria-orientation": "horizontal",
      onkeydown: (event) => this.walk(event) });
    return make("div", { className: "sx-pictures", hidden: this.about.names.length < 2 },
      make("div", { className: "sx-row" },
        make("span", { className: "sx-head" }, "Pictures"),
        make("label", { className: "sx-field" }, worst), this.judged, this.scoreAll),
      this.strip);
  }

  buildCards() {
    const card = (name, title, ...children) => make("section",
      { className: `sx-card sx-card-${name}`, "aria-label": title },
      make("h3", { className: "sx-head" }, title), children);
    this.scores = make("div", { className: "sx-scroll" });
    this.pixelTitle = make("p", { className: "sx-quiet" });
    this.pixel = make("div", { className: "sx-scroll" });
    const about = this.about.models;
    this.curve = make("div", { className: "sx-curve" });
    const trust = about.some((m) => m.trust), any = trust || this.anyInstances;
    this.cards = make("div", { className: "sx-cards" },
      this.models.size ? card("iou", "IoU", this.scores) : [],
      card("pixel", "Pixel", this.pixelTitle, this.pixel),
      any ? card("confidence", "Confidence",
        this.tick("confidence", "Fade what a model is unsure of"),
        trust ? this.slider("threshold", "Threshold", 0.01,
          "Threshold: a pixel whose class is less probable counts as background") : [],
        this.anyInstances ? this.slider("score", "Score", 0.01,
          "Score: instances below it are left out") : [],
        this.curve) : []);
    return this.cards;
  }

  // ---------------------------------------------------------------- what is shown

  showLegend() {
    const colours = this.palettes.get(this.get("palette"));
    const shown = this.get("shown");
    for (const [id, { chip, swatch }] of this.chips) {
      swatch.style.background = rgb(colours, id);
      chip.setAttribute("aria-pressed", shown.includes(id));
    }
    const errors = this.get("layer") === "errors" ? this.about.errors.names : [];
    this.marks.replaceChildren(...errors.map((name, kind) => {
      if (kind === 0 && !shown.includes(0)) return ""; // not painted
      const swatch = make("i", { className: "sx-swatch" });
      swatch.style.background = rgb(this.errorColours, kind);
      return make("span", { className: "sx-mark" }, swatch, name);
    }));
  }

  /** A model's cut, in 8 bits. */
  cut(model) {
    return level(this.get(model.instances ? "score" : "threshold"));
  }

  /** The counts of one picture for a model; null where they are not known yet. */
  counts(i, model) {
    const all = this.store?.decoded.get(`${i}/tally`);
    const length = this.classes * 513 + 256;
    return all ? all.subarray(model.number * length, (model.number + 1) * length) : null;
  }

  /** The counts of the set for a model; null unless every picture is counted. */
  setCounts(model) {
    const pictures = [...this.about.names.keys()];
    const known = pictures.filter((i) => this.store?.decoded.has(`${i}/tally`)).length;
    if (known < pictures.length) return null;
    return this.once(this.memory, `${model.name}: set`, known, () => {
      const sum = new Float64Array(this.classes * 513 + 256);
      for (const i of pictures) this.counts(i, model).forEach((n, k) => { sum[k] += n; });
      return sum;
    });
  }

  shownModels() {
    return this.get("panels").map((name) => this.models.get(name)).filter(Boolean);
  }

  showScores() {
    const i = this.get("picture");
    const classes = this.get("shown").filter((id) => id < this.classes).sort((a, b) => a - b);
    const models = this.shownModels();
    const iou = (counts, model) => counts && iouAt(counts, this.classes, this.cut(model));
    const here = models.map((model) => iou(this.counts(i, model), model));
    const set = models.map((model) => iou(this.setCounts(model), model));
    models.forEach((model, k) => {
      const mean = here[k] ? meanOf(here[k], classes) : NaN;
      const { value } = this.figures.get(model.name);
      value.textContent = Number.isNaN(mean) ? "" : `IoU ${score(mean)}`;
      value.title = "mean IoU of the shown classes in this picture";
    });
    const row = (head, colour, values, kind) => make("tr", {}, make("th", { scope: "row" }, head),
      values.map((value) => this.bar(score(value), value || 0, colour, kind)));
    const block = (title, all) => make("tbody", {},
      make("tr", {}, make("th", { scope: "rowgroup", className: "sx-quiet sx-block",
        colSpan: models.length + 1 }, title)),
      classes.map((c) => row(this.tag(c), this.colour(c), all.map((s) => (s ? s[c] : NaN)))),
      row("mean", "var(--sx-soft)", all.map((s) => (s ? meanOf(s, classes) : NaN)), "sx-bold"));
    const several = this.about.names.length > 1;
    this.scores.style.setProperty("--columns", models.length);
    this.scores.replaceChildren(models.length ? make("table", {}, this.heads(models),
      block("this picture", here), several ? block("all pictures", set) : [])
      : make("p", { className: "sx-quiet" }, "No model is shown."));
  }

  /** The first row of a table: a column for each model. */
  heads(models) {
    return make("thead", {}, make("tr", {}, make("td"),
      models.map((m) => make("th", { scope: "col" }, this.dashed(m)))));
  }

  /** A cell of a table with a bar behind its text. */
  bar(text, share, colour, kind = "") {
    const node = make("td", { className: `sx-bar ${kind}` }, text);
    node.style.setProperty("--share", percentage(share));
    node.style.setProperty("--colour", colour);
    return node;
  }

  /** The colour of a class in a table: black would be none on a dark page. */
  colour(id) {
    return id ? rgb(this.palettes.get(this.get("palette")), id) : "var(--sx-soft)";
  }

  /** A class's swatch and name. */
  tag(id) {
    const swatch = make("i", { className: "sx-swatch" });
    swatch.style.background = rgb(this.palettes.get(this.get("palette")), id);
    const name = id === VOID ? "void" : this.about.classes[id];
    return make("span", { className: "sx-tag" }, swatch,
      make("span", { className: "sx-name", title: name }, name));
  }

  /** A model's name with the colour of its curve. */
  dashed(model) {
    const dash = make("i", { className: "sx-dash" });
    dash.style.background = model.line;
    return make("span", { className: "sx-tag" }, dash,
      make("span", { className: "sx-name", title: model.name }, model.name));
  }

  /** How the mean IoU of the shown classes depends on the cut: a line for each model. */
  showCurve() {
    const classes = this.get("shown").filter((id) => id < this.classes);
    let whose = "all pictures";
    const lines = this.shownModels().filter((m) => m.trust || m.instances).map((model) => {
      let counts = this.setCounts(model);
      if (!counts) {
        counts = this.counts(this.get("picture"), model);
        whose = "this picture";
      }
      if (!counts) return null;
      const points = Array.from({ length: 51 }, (_, k) =>
        meanOf(iouAt(counts, this.classes, level(k / 50)), classes));
      return { model, points };
    }).filter(Boolean);
    const x = (t) => 28 + 270 * t, y = (iou) => 104 - 92 * iou;
    const chart = drawn("svg", { viewBox: "0 0 320 132", role: "img",
      "aria-label": `Mean IoU of the shown classes, ${whose}, by threshold` });
    for (const tick of [0, 0.5, 1]) {
      chart.append(
        drawn("line", { class: "sx-gridline", x1: x(0), x2: x(1), y1: y(tick), y2: y(tick) }),
        drawn("text", { x: 20, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
        drawn("text", { x: x(tick), y: 118, "text-anchor": "middle" }, percent(tick)));
    }
    chart.append(drawn("text", { x: x(0.5), y: 130, "text-anchor": "middle" },
      `threshold or score; mean IoU of ${whose}`));
    for (const { model, points } of lines) {
      const there = points.map((iou, k) => [x(k / 50), y(iou)]).filter(([, v]) => !Number.isNaN(v));
      const joined = there.map((p) => p.join(",")).join(" ");
      chart.append(drawn("polyline", { points: joined, fill: "none", stroke: model.line,
        "stroke-width": 2, "stroke-linejoin": "round" }));
    }
    this.dots = lines.map(({ model, points }) => {
      const dot = drawn("circle", { r: 4.5, fill: model.line, class: "sx-dot" });
      chart.append(dot);
      return { model, dot, points, x, y };
    });
    this.curve.replaceChildren(chart);
    this.curve.hidden = !lines.length;
  }

  /** Put each model's dot where its cut is. */
  moveCuts() {
    for (const { model, dot, points, x, y } of this.dots ?? []) {
      const at = this.get(model.instances ? "score" : "threshold");
      const low = Math.floor(at * 50), high = Math.min(low + 1, 50);
      const iou = points[low] + (points[high] - points[low]) * (at * 50 - low);
      dot.setAttribute("cx", x(at));
      dot.setAttribute("cy", Number.isNaN(iou) ? -20 : y(iou));
    }
  }

  /** The pictures' numbers in their order. */
  sort() {
    const all = [...this.about.names.keys()];
    const worst = this.get("worst"), model = this.models.get(this.get("judge"));
    this.ranked = new Map();
    this.order = all;
    if (worst < 0 || !model) return;
    for (const i of all) {
      const counts = this.counts(i, model);
      const iou = counts ? iouAt(counts, this.classes, this.cut(model))[worst] : NaN;
      if (!Number.isNaN(iou)) this.ranked.set(i, iou);
    }
    this.order = [...this.ranked.keys()].sort((a, b) => this.ranked.get(a) - this.ranked.get(b));
  }

  showStrip() {
    const now = this.get("picture"), place = this.order.indexOf(now);
    const worst = this.get("worst");
    this.judged.hidden = worst < 0;
    this.scoreAll.hidden = !this.models.size || !this.shownModels().length ||
      this.about.names.every((_, i) => this.store.decoded.has(`${i}/tally`));
    this.title.textContent = this.title.title = this.about.names[now];
    this.count.textContent = place < 0 ? `not in this order of ${this.order.length}` :
      `${place + 1} of ${this.order.length}`;
    const key = this.order.join();
    if (key !== this.stripKey) {
      this.stripKey = key;
      const focused = this.strip.contains(document.activeElement) ? document.activeElement : null;
      this.strip.replaceChildren(...this.order.map((i) => this.thumbnails[i].button));
      focused?.focus();
    }
    this.thumbnails.forEach(({ image, label, button }, i) => {
      button.setAttribute("aria-selected", i === now);
      button.tabIndex = i === (place < 0 ? this.order[0] : now) ? 0 : -1;
      label.textContent = worst < 0 ? this.about.names[i] : `IoU ${score(this.ranked.get(i))}`;
      const url = this.store.get(`${i}/thumbnail`);
      if (url && image.src !== url) image.src = url;
    });
    if (this.scrolledTo !== `${now},${key}` && place >= 0) {
      this.scrolledTo = `${now},${key}`;
      const { button } = this.thumbnails[now];
      this.strip.scrollLeft = button.offsetLeft - (this.strip.clientWidth - button.offsetWidth) / 2;
    }
  }

  /** Read the pixel under the cursor, or else the picked one. */
  read() {
    const [picture, px, py] = this.get("picked_at");
    const picked = picture === this.get("picture") ? { x: px, y: py } : null;
    const pixel = this.hovered ?? picked;
    if (!pixel || !this.current || this.current.i !== this.get("picture")) {
      this.pixelTitle.textContent = "Point at a picture to read a pixel; click to keep it.";
      this.pixel.replaceChildren();
      return;
    }
    const { x, y } = pixel;
    const i = y * this.current.width + x;
    const truth = this.current.truth[i];
    const models = this.shownModels();
    const found = models.map((model) => this.found(model, i));
    this.pixelTitle.replaceChildren(`column ${x}, row ${y}${this.hovered ? "" : ", picked"}: `,
      this.about.hasTruth ? make("b", {}, this.className(truth)) : "");
    const ids = this.tellingIds(truth, found);
    const rows = ids.map((id) => make("tr", { className: id === truth ? "sx-true" : "" },
      make("th", { scope: "row", title: id === truth ? "the truth" : "" }, this.tag(id)),
      found.map((one) => this.probability(one, id))));
    if (found.some((one) => one.object)) {
      rows.push(make("tr", {}, make("th", { scope: "row" }, "instance"), found.map(({ object }) =>
        make("td", { className: "sx-number" },
          object ? `${object.number}: ${percent(object.score)}` : ""))));
    }
    this.pixel.style.setProperty("--columns", models.length);
    this.pixel.replaceChildren(make("table", {}, this.heads(models), make("tbody", {}, rows)));
    this.spoken = `column ${x}, row ${y}: truth ${this.className(truth)}; ` + found.map((one, k) =>
      `${models[k].name} ${this.className(one.id)}`).join(", ");
  }

  className(id) {
    return this.about.classes[id] ?? "void";
  }

  /** What a model says of a pixel: its class after the cut, probabilities, instance. */
  found(model, i) {
    const held = this.current.models.get(model.name) ?? {};
    const key = `${this.current.i}/probabilities/${model.number}`;
    const planes = model.probabilities ? this.store.get(key) : null;
    const size = this.current.width * this.current.height;
    const found = { id: held.ids?.[i] ?? 0, object: null, waits: model.probabilities && !planes };
    found.shares = planes && this.about.classes.map((_, c) => planes[c * size + i] / 255);
    if (held.owners) {
      const k = held.owners[i];
      if (k) {
        const [label, score] = held.objects[k - 1];
        found.object = { number: k - 1, score };
        found.id = level(score) >= this.cut(model) ? label : 0;
      }
    } else if (held.trust && held.trust[i] < this.cut(model)) found.id = 0;
    return found;
  }

  /** The classes worth a row: all of a few; else the truth, the answers, and the likeliest. */
  tellingIds(truth, found) {
    const all = [...this.about.classes.keys()];
    const likely = (id) => Math.max(...found.map(({ shares }) => (shares ? shares[id] : 0)),
      found.some((one) => one.id === id) || id === truth ? 2 : 0);
    const ids = all.length <= 6 ? all : all.sort((a, b) => likely(b) - likely(a)).slice(0, 6)
      .sort((a, b) => a - b);
    return truth === VOID ? [...ids, VOID] : ids;
  }

  probability({ id: answer, shares, waits }, id) {
    const text = shares && id < this.classes ? percent(shares[id]) : waits ? "…" :
      answer === id ? "●" : "";
    const share = shares ? shares[id] ?? 0 : +(answer === id);
    return this.bar(text, share, this.colour(id), answer === id ? "sx-bold" : "");
  }

  /** Say what is going on, where something is. */
  say() {
    const none = this.get("panels").length ? "" : "No panel is shown: switch one on above.";
    this.status.textContent = this.store.error || none || (this.pending ? "Loading …" : "");
    this.status.hidden = !this.status.textContent;
    if (this.store.error) this.scoreAll.disabled = false;
    this.root.setAttribute("aria-busy", this.pending);
  }

  // ---------------------------------------------------------------- what a reader does

  toggle(name, item) {
    const now = this.get(name);
    const places = name === "panels" ? [...this.figures.keys()] : this.ids;
    const next = now.includes(item) ? now.filter((one) => one !== item) : [...now, item];
    this.put({ [name]: next.sort((a, b) => places.indexOf(a) - places.indexOf(b)) });
  }

  /** Put the pictures in another order, and show the first of a ranking. */
  rank(changes) {
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.sort();
    this.put(this.get("worst") < 0 || !this.order.length ? {} : { picture: this.order[0] });
  }

  turn(by) {
    const { order } = this;
    if (!order.length) return;
    const place = order.indexOf(this.get("picture"));
    this.hovered = null;
    this.put({ picture: order[place < 0 ? 0 : (place + by + order.length) % order.length] });
  }

  /** Zoom by a factor; the point at (x, y) of the view, 0..1, stays where it is. */
  magnify(by, x = 0.5, y = 0.5) {
    const zoom = this.get("zoom"), centre = this.get("centre");
    const [height, width] = this.about.sizes[this.get("picture")];
    const next = clamp(zoom * by, 1, Math.max(1, Math.min(width, height) / MOST_ZOOM));
    const shift = 1 / zoom - 1 / next, edge = 0.5 / next;
    const keep = (c, at) => clamp(c + (at - 0.5) * shift, edge, 1 - edge);
    this.put({ zoom: next, centre: [keep(centre[0], x), keep(centre[1], y)] });
  }

  fit() {
    this.put({ zoom: 1, centre: [0.5, 0.5] });
  }

  /** Move the view by shares of what is seen. */
  pan(x, y) {
    const zoom = this.get("zoom"), [cx, cy] = this.get("centre");
    const keep = (c) => clamp(c, 0.5 / zoom, 1 - 0.5 / zoom);
    this.put({ centre: [keep(cx + x / zoom), keep(cy + y / zoom)] });
  }

  /** The picture pixel at (x, y) of the view, 0..1. */
  pixelAt(x, y) {
    const { width, height } = this.current;
    const zoom = this.get("zoom"), [cx, cy] = this.get("centre");
    const across = part(width, zoom, cx), down = part(height, zoom, cy);
    return { x: clamp(Math.floor(across.start + x * across.span), 0, width - 1),
      y: clamp(Math.floor(down.start + y * down.span), 0, height - 1) };
  }

  hover(pixel) {
    this.hovered = pixel;
    this.changed("hover");
  }

  pick({ x, y }) {
    this.put({ picked_at: [this.get("picture"), x, y] });
  }

  listen(canvas) {
    const share = (event) => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    let from = null, moved = false;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      from = share(event);
      moved = false;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.current) return;
      const [x, y] = share(event);
      if (from) {
        const box = canvas.getBoundingClientRect();
        moved ||= Math.hypot((x - from[0]) * box.width, (y - from[1]) * box.height) > 3;
        if (!moved) return;
        this.pan(from[0] - x, from[1] - y);
        from = [x, y];
      } else this.hover(this.pixelAt(x, y));
    });
    canvas.addEventListener("pointerup", (event) => {
      if (from && !moved && this.current) this.pick(this.pixelAt(...share(event)));
      from = null;
    });
    canvas.addEventListener("pointercancel", () => { from = null; });
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("dblclick", (event) => this.magnify(2, ...share(event)));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      this.magnify(Math.exp(-event.deltaY / 200), ...share(event));
    }, { passive: false });
  }

  press(event) {
    const { target, key, shiftKey } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || (shiftKey && key === "Enter")) return;
    event.stopPropagation(); // JupyterLab would make a heading of a digit, and keep the arrows
    if (target.matches("canvas") && this.pressOnPanel(event)) {
      event.preventDefault();
      return;
    }
    const busy = target.matches("select, summary");
    const works = target.matches("button, input, select, summary, [role=slider]");
    const layers = ["classes", "errors", ...(this.anyInstances ? ["instances"] : [])];
    const acts = {
      v: () => this.toggle("shown", VOID),
      o: () => this.put({ fill: !this.get("fill") }),
      l: () => this.put({ layer: layers[(layers.indexOf(this.get("layer")) + 1) % layers.length] }),
      c: () => this.put({ confidence: !this.get("confidence") }),
      n: () => this.turn(1),
      p: () => this.turn(-1),
      f: () => this.fit(),
      "+": () => this.magnify(1.5),
      "=": () => this.magnify(1.5),
      "-": () => this.magnify(1 / 1.5),
    };
    if (busy) return;
    if (key === " ") {
      if (works) return;
      this.put({ overlay: !this.get("overlay") });
    } else if (/^\d$/.test(key) && Number(key) < this.classes) this.toggle("shown", Number(key));
    else if (key in acts) acts[key]();
    else return;
    event.preventDefault();
  }

  /** Keys on a picture; true where one was used. */
  pressOnPanel({ key, shiftKey }) {
    if (!this.current) return false;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (key in steps) {
      const [x, y] = steps[key];
      if (shiftKey) this.pan(0.1 * x, 0.1 * y);
      else this.step(x, y);
    } else if (key === "Enter") this.pick(this.hovered ?? this.pixelAt(0.5, 0.5));
    else if (key === "Escape") this.hover(null);
    else return false;
    return true;
  }

  /** Move the cursor by a pixel; the view follows it. */
  step(x, y) {
    const { width, height } = this.current;
    const [picture, px, py] = this.get("picked_at");
    const start = this.hovered ?? (picture === this.get("picture") ? { x: px, y: py }
      : this.pixelAt(0.5, 0.5));
    this.hovered = { x: clamp(start.x + x, 0, width - 1), y: clamp(start.y + y, 0, height - 1) };
    const zoom = this.get("zoom");
    const inside = (c, at, size) => clamp(c, (at + 1) / size - 0.5 / zoom, at / size + 0.5 / zoom);
    const [cx, cy] = this.get("centre");
    const centre = [inside(cx, this.hovered.x, width), inside(cy, this.hovered.y, height)];
    if (zoom > 1) this.put({ centre: centre.map((c) => clamp(c, 0.5 / zoom, 1 - 0.5 / zoom)) });
    this.changed("hover");
    if (this.dirty.size) this.read();
    this.live.textContent = this.spoken ?? "";
  }

  /** Arrow keys along the strip of pictures. */
  walk(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const ends = { Home: this.order[0], End: this.order.at(-1) };
    if (by) this.turn(by);
    else if (event.key in ends) this.put({ picture: ends[event.key] });
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.thumbnails[this.get("picture")].button.focus();
  }

  /** Save what is seen as PNG: each panel with as many pixels as the picture has there. */
  async save() {
    const names = this.get("panels");
    const parts = this.parts(names);
    if (!parts || !names.length) return;
    const zoom = this.get("zoom");
    const w = Math.floor(parts.width / zoom + 0.5), h = Math.floor(parts.height / zoom + 0.5);
    const gap = 8, band = Math.max(18, Math.round(w / 14));
    const columns = clamp(Math.floor((16384 + gap) / (w + gap)), 1, names.length);
    const rows = Math.ceil(names.length / columns);
    const sheet = make("canvas", { width: columns * (w + gap) - gap,
      height: rows * (h + band + gap) - gap });
    if (sheet.width * sheet.height > 2.5e8) {
      this.store.error = "Too large for one PNG: zoom in, or show fewer panels.";
      this.say();
      return;
    }
    const context = sheet.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.fillStyle = "black";
    context.textBaseline = "middle";
    context.font = `${Math.round(band * 0.62)}px sans-serif`;
    const at = this.sampling(parts, w, h), memory = new Map();
    names.forEach((name, k) => {
      const x = (k % columns) * (w + gap), y = Math.floor(k / columns) * (h + band + gap);
      context.fillText(this.named(name), x + 2, y + band / 2, w - 4);
      context.putImageData(this.render(parts, name, at, memory), x, y + band);
    });
    const blob = await new Promise((done) => sheet.toBlob(done, "image/png"));
    const name = this.about.names[parts.i].replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80);
    const link = make("a", { href: URL.createObjectURL(blob), download: `${name}_overlay.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
}

const percentage = (share) => `${100 * share}%`;

function render({ model, el }) {
  const view = new View(model, el);
  return () => view.close();
}

// ------------------------------------------------------------------------- 6 the exported page

/** What stands in for the widget's model in a page without a kernel: the state, and listeners. */
class PageModel {
  constructor(state) {
    this.state = { _want: {}, ...state };
    this.listeners = new Map();
  }

  get(name) {
    return this.state[name];
  }

  set(name, value) {
    if (JSON.stringify(this.state[name]) === JSON.stringify(value)) return;
    this.state[name] = value;
    for (const listener of [...(this.listeners.get(`change:${name}`) ?? [])]) listener();
  }

  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }

  off(event, listener) {
    this.listeners.set(event, (this.listeners.get(event) ?? []).filter((one) => one !== listener));
  }

  save_changes() {}
}

/** The exported page calls this; all that it needs lies in its own JSON. */
function openPage() {
  const state = JSON.parse(document.getElementById("explorer-data").textContent);
  const main = make("main");
  document.body.classList.add("sx-page");
  document.body.append(main);
  const view = new View(new PageModel(state), main);
  document.addEventListener("keydown", (event) => {
    if (event.target === document.body) view.press(event); // before anything has the focus
  });
}

// ------------------------------------------------------------------------------------- 7 style

// Colours are JupyterLab's own where it has them, so that both of its themes fit.
const STYLE = `
.sx-page { margin: 0; padding: 20px; color-scheme: light dark;
  background: light-dark(#fff, #181a1d);
  --jp-layout-color1: light-dark(#fff, #181a1d); --jp-layout-color2: light-dark(#f4f5f7, #23262b);
  --jp-ui-font-color1: light-dark(#1d2126, #e8eaed);
  --jp-ui-font-color2: light-dark(#565e68, #a8b0ba);
  --jp-border-color2: light-dark(#d9dde2, #3a3f46);
  --jp-brand-color1: light-dark(#1565c0, #64b5f6); }
.sx-page main { max-width: 1500px; margin: 0 auto; }
.sx { --sx-paper: var(--jp-layout-color1, #fff); --sx-ground: var(--jp-layout-color2, #f4f5f7);
  --sx-ink: var(--jp-ui-font-color1, #1d2126); --sx-soft: var(--jp-ui-font-color2, #565e68);
  --sx-line: var(--jp-border-color2, #d9dde2); --sx-accent: var(--jp-brand-color1, #1565c0);
  container-type: inline-size; box-sizing: border-box; padding: 4px; color: var(--sx-ink);
  font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif); }
[data-jp-theme-light="false"] .sx { color-scheme: dark; }
.sx *, .sx *::before { box-sizing: border-box; }
.sx [hidden] { display: none !important; }
.sx :focus-visible { outline: 2px solid var(--sx-accent); outline-offset: 2px; border-radius: 4px; }
.sx-row { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 12px; margin-bottom: 8px; }
.sx-space { flex: 1; }
.sx-title { font-size: 15px; flex: 0 1 auto; min-width: 90px; max-width: 46ch;
  overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.sx-quiet { color: var(--sx-soft); font-weight: 400; }
.sx-number { font-variant-numeric: tabular-nums; }
.sx-name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 0; }
.sx-head { margin: 0; font-size: 13px; font-weight: 600; }
.sx-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.sx-status { padding: 6px 10px; margin-bottom: 8px; border-radius: 6px;
  background: var(--sx-ground);
  overflow-wrap: anywhere; }

.sx button, .sx select, .sx summary { font: inherit; color: inherit; background: var(--sx-paper);
  border: 1px solid var(--sx-line); border-radius: 6px; min-height: 28px; padding: 2px 8px;
  cursor: pointer; max-width: 100%; }
.sx button:hover, .sx summary:hover, .sx select:hover { background: var(--sx-ground); }
.sx button svg { width: 16px; height: 16px; display: block; fill: none; stroke: currentColor;
  stroke-width: 1.6; stroke-linecap: round; stroke-linejoin: round; }
.sx button:has(svg) { display: inline-flex; align-items: center; gap: 5px; }
.sx-buttons { display: inline-flex; align-items: center; gap: 4px; }
.sx-buttons .sx-number { min-width: 46px; text-align: center; }
.sx-field { display: inline-flex; align-items: center; gap: 8px; min-width: 0; }
.sx-field > span { flex: none; color: var(--sx-soft); }
.sx input[type=range] { width: 120px; min-width: 60px; flex: 1 1 120px; margin: 0; height: 20px;
  accent-color: var(--sx-accent); cursor: pointer; }
.sx input[type=checkbox] { width: 16px; height: 16px; margin: 0; accent-color: var(--sx-accent); }
.sx-slider output { min-width: 42px; text-align: right; }
.sx-tools { padding: 8px 10px; border-radius: 8px; background: var(--sx-ground); gap: 8px 18px; }
.sx-tools .sx-slider { flex: 1 1 190px; max-width: 300px; }
.sx-choice { display: inline-flex; border: 1px solid var(--sx-line); border-radius: 6px;
  background: var(--sx-paper); overflow: hidden; }
.sx-choice label { position: relative; cursor: pointer; }
.sx-choice input { position: absolute; inset: 0; opacity: 0; margin: 0; pointer-events: none; }
.sx-choice span { display: block; padding: 3px 11px; color: var(--sx-soft); }
.sx-choice label + label span { border-left: 1px solid var(--sx-line); }
.sx-choice input:checked + span { color: var(--sx-ink); font-weight: 600;
  box-shadow: inset 0 -2px var(--sx-accent); }
.sx-choice input:focus-visible + span { outline: 2px solid var(--sx-accent); outline-offset: -3px;
  border-radius: 6px; }

.sx-legend { gap: 6px 18px; }
.sx-chips, .sx-marks { display: inline-flex; flex-wrap: wrap; gap: 6px; min-width: 0; }
.sx .sx-chip { display: inline-flex; align-items: center; gap: 6px; border-radius: 14px;
  padding: 2px 10px; color: var(--sx-soft); opacity: .72; max-width: 240px; }
.sx .sx-chip[aria-pressed=true] { color: var(--sx-ink); opacity: 1; border-color: var(--sx-soft); }
.sx .sx-chip[aria-pressed=false] .sx-name { text-decoration: line-through; }
.sx-chip kbd { font: 11px/1 var(--jp-code-font-family, monospace); color: var(--sx-soft); }
.sx-mark { display: inline-flex; align-items: center; gap: 5px; color: var(--sx-soft);
  margin-right: 6px; }
.sx-swatch { flex: none; width: 12px; height: 12px; border-radius: 3px;
  border: 1px solid color-mix(in srgb, var(--sx-ink) 45%, transparent); }
.sx-dash { flex: none; display: inline-block; width: 12px; height: 3px; border-radius: 2px;
  vertical-align: middle; margin-right: 6px; }
.sx-tag { display: inline-flex; align-items: center; gap: 6px; max-width: 130px; }
.sx-tag .sx-dash { margin: 0; }

.sx-grid { display: grid; gap: 10px; justify-content: center; margin-bottom: 10px; }
.sx figure { margin: 0; min-width: 0; }
.sx figcaption { display: flex; justify-content: space-between; gap: 8px; padding: 0 1px 3px;
  font-weight: 600; white-space: nowrap; }
.sx-stage { position: relative; overflow: hidden; border-radius: 4px; line-height: 0; }
.sx canvas { display: block; cursor: crosshair; touch-action: pan-y; image-rendering: pixelated; }
.sx canvas:focus-visible { outline-offset: -3px; }
.sx-cursor { position: absolute; pointer-events: none; min-width: 7px; min-height: 7px;
  border: 1px solid #fff; box-shadow: 0 0 0 1px #000, inset 0 0 0 1px #000; }
.sx-pin { border: 2px solid #fff; border-radius: 50%; min-width: 13px; min-height: 13px;
  translate: -3px -3px; }
.sx-divider { position: absolute; top: 0; bottom: 0; width: 18px; margin-left: -9px;
  cursor: ew-resize; touch-action: none; }
.sx-divider::before { content: ""; position: absolute; left: 8px; top: 0; bottom: 0; width: 2px;
  background: #fff; box-shadow: 0 0 0 1px rgb(0 0 0 / .55); }
.sx-divider::after { content: "◂▸"; position: absolute; left: 50%; top: 50%; padding: 2px 4px;
  translate: -50% -50%; border-radius: 9px; background: #fff; color: #222;
  font: 11px/14px sans-serif;
  box-shadow: 0 0 0 1px rgb(0 0 0 / .55); letter-spacing: 1px; }
.sx-divider:focus-visible { outline-offset: -2px; }

.sx-pictures { margin-bottom: 10px; }
.sx-strip { position: relative; display: flex; gap: 6px; overflow-x: auto; padding: 3px;
  scrollbar-width: thin; }
.sx .sx-strip button { flex: none; width: 92px; padding: 3px; display: flex; flex-direction: column;
  gap: 2px; border-color: transparent; color: var(--sx-soft); font-size: 11px; }
.sx .sx-strip button[aria-selected=true] { border-color: var(--sx-accent); color: var(--sx-ink);
  box-shadow: inset 0 0 0 1px var(--sx-accent); }
.sx-strip img { width: 100%; height: 58px; object-fit: cover; border-radius: 4px;
  background: var(--sx-ground); }
.sx-strip .sx-name { width: 100%; text-align: center; }

.sx-cards { display: grid; gap: 10px; grid-template-columns:
  minmax(0, 1.25fr) minmax(0, 1.25fr) minmax(0, 1fr); }
.sx-card { padding: 8px 10px; border: 1px solid var(--sx-line); border-radius: 8px; min-width: 0; }
.sx-card p { margin: 0 0 6px; }
.sx-card .sx-head { margin-bottom: 6px; }
.sx-card .sx-field { display: flex; margin-bottom: 6px; }
.sx-card .sx-slider > span { min-width: 64px; }
.sx-scroll { overflow-x: auto; }
.sx table { border-collapse: separate; border-spacing: 2px; width: 100%; font-size: 12px; }
.sx-card table { table-layout: fixed; min-width: calc(100px + var(--columns) * 48px); }
.sx-card thead td { width: 98px; }
.sx th { text-align: left; font-weight: 400; }
.sx thead th { text-align: center; font-weight: 600; }
.sx thead th.sx-quiet { font-weight: 400; font-size: 11px; }
.sx th, .sx td { padding: 2px 3px; white-space: nowrap; }
.sx .sx-bar { text-align: right; min-width: 40px; border-radius: 3px; 
  font-variant-numeric: tabular-nums; background: linear-gradient(to right,
  color-mix(in srgb, var(--colour) 45%, var(--sx-paper)) var(--share),
  var(--sx-ground) var(--share)); }
.sx .sx-bold { font-weight: 700; }
.sx-true th { font-weight: 700; }
.sx .sx-block { padding-top: 6px; font-size: 11px; }
.sx table .sx-tag { max-width: 100%; gap: 5px; vertical-align: middle; }
.sx thead .sx-tag { flex-direction: column; gap: 2px; }
.sx thead .sx-name { max-width: 100%; font-size: 10px; letter-spacing: -0.2px; white-space: normal;
  line-height: 1.2;
  overflow-wrap: anywhere; max-height: 2.4em; }
.sx thead th { vertical-align: bottom; padding: 2px 0; }
.sx tbody th { padding: 2px 0; }
.sx-curve svg { display: block; width: 100%; max-width: 420px; }
.sx-curve text { font-size: 10px; fill: var(--sx-soft); }
.sx-gridline { stroke: var(--sx-line); }
.sx-dot { stroke: var(--sx-paper); stroke-width: 1.5; }

.sx-help { position: relative; }
.sx-help summary { list-style: none; width: 28px; text-align: center; padding: 3px 0; }
.sx-help summary::-webkit-details-marker { display: none; }
.sx-sheet { position: absolute; right: 0; top: 34px; z-index: 20; width: 330px; max-width: 80vw;
  padding: 10px 14px; border: 1px solid var(--sx-line); border-radius: 8px;
  background: var(--sx-paper);
  box-shadow: 0 6px 24px rgb(0 0 0 / .25); }
.sx-sheet p { margin: 8px 0 0; color: var(--sx-soft); }
.sx-sheet th { font-weight: 600; }
.sx-sheet td { white-space: normal; }

@container (max-width: 980px) {
  .sx-cards { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .sx-cards .sx-card-confidence { grid-column: 1 / -1; }
  .sx-card-confidence:has(svg) { display: grid; grid-template-columns: 1fr 1fr; column-gap: 24px;
    align-content: start; }
  .sx-card-confidence > * { grid-column: 1; }
  .sx-card-confidence .sx-curve { grid-area: 1 / 2 / span 6; }
}
@container (max-width: 560px) {
  .sx-card-confidence:has(svg) { display: block; }
  .sx-cards { grid-template-columns: minmax(0, 1fr); }
  .sx-tools .sx-slider { flex-basis: 100%; max-width: none; }
  .sx-title { max-width: 24ch; }
}
`;

export default { render };

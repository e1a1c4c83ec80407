"use strict";

// The page holds no policy: images bear opaque names, and only the key, which stays with the study's makers, tells them apart.
const FEEDBACK_MS = 180;
const COLUMNS = ["study", "fingerprint", "rater", "pair", "question", "left", "right", "chosen"];
const byId = (id) => document.getElementById(id);
const study = JSON.parse(byId("study").textContent);
const choices = [byId("choice-0"), byId("choice-1")];

let rater = "";
let steps = []; // one per pair and question, in the order of this rater
let votes = new Map(); // "pair/question" -> name of the chosen image
let position = 0;
let revealed = ""; // the pair whose images the rater chose to see
let locked = false; // while a vote is shown, before the next pair comes

// ---- the order of a rater

function generator(text) {
  let state = 2166136261; // FNV-1a of the text seeds mulberry32
  for (const character of text) state = Math.imul(state ^ character.codePointAt(0), 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function arrange(name) {
  const random = generator(`${study.fingerprint}/${name}`);
  const pairs = study.pairs.map((pair) => ({ ...pair, images: random() < 0.5 ? pair.images : [...pair.images].reverse() }));
  for (let last = pairs.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [pairs[last], pairs[other]] = [pairs[other], pairs[last]];
  }
  return pairs.flatMap((pair) => study.questions.map((question) => ({ pair, question })));
}

const keyOf = (step) => `${step.pair.pair}/${step.question.name}`;
const isAnswered = (step) => votes.has(keyOf(step));

// ---- what the browser keeps

const placeOf = (name) => `user-study/${study.name}/${study.fingerprint}/${name}`;

function read(place) {
  try {
    return localStorage.getItem(place);
  } catch {
    return null;
  }
}

function keep(place, text) {
  try {
    localStorage.setItem(place, text);
  } catch {
    byId("unsaved").hidden = false;
  }
}

function readVotes() {
  const known = new Map(steps.map((step) => [keyOf(step), step.pair.images]));
  try {
    const kept = Object.entries(JSON.parse(read(placeOf(`votes/${rater}`)) ?? "{}"));
    return new Map(kept.filter(([key, image]) => known.get(key)?.includes(image)));
  } catch {
    return new Map(); // what another program left there is not a vote
  }
}

function keepVote(step, image) {
  votes = new Map([...votes, ...readVotes(), [keyOf(step), image]]); // a second tab may have voted meanwhile
  keep(placeOf(`votes/${rater}`), JSON.stringify(Object.fromEntries(votes)));
}

// ---- the three screens

function show(name) {
  for (const screen of ["start", "vote", "end"]) byId(screen).hidden = screen !== name;
}

function showStart() {
  const code = crypto.getRandomValues(new Uint8Array(6));
  byId("rater").value = Array.from(code, (byte) => "abcdefghjkmnpqrstuvwxyz23456789"[byte % 31]).join("");
  byId("unsafe").hidden = !study.blurred;
  show("start");
  byId("rater").select();
}

function enter(name) {
  rater = name;
  keep(placeOf("rater"), rater);
  steps = arrange(rater);
  votes = readVotes();
  goOn();
}

function goOn() {
  const open = steps.findIndex((step) => !isAnswered(step));
  if (open < 0) return showEnd();
  position = open;
  show("vote");
  showStep();
  byId("question").focus();
}

function showStep() {
  const { pair, question } = steps[position];
  const answered = steps.filter(isAnswered).length;
  byId("progress").max = steps.length;
  byId("progress").value = answered;
  byId("count").textContent = `${answered} of ${steps.length}`;
  byId("question").textContent = question.text;
  byId("prompt").textContent = `“${pair.prompt}”`;
  byId("status").textContent = `Choice ${position + 1} of ${steps.length}. ${question.text} Text: ${pair.prompt}`;
  byId("back").disabled = position === 0;
  byId("next").hidden = !isAnswered(steps[position]);
  choices.forEach((choice, side) => {
    const image = choice.querySelector("img");
    image.src = byId(pair.images[side]).textContent;
    choice.setAttribute("aria-pressed", String(votes.get(keyOf(steps[position])) === pair.images[side]));
  });
  showBlur(study.blurred && revealed !== pair.pair);
}

function showBlur(blurred) {
  const lost = choices.includes(document.activeElement) || document.activeElement === byId("reveal");
  byId("pair").classList.toggle("blurred", blurred);
  byId("reveal").hidden = !blurred;
  for (const choice of choices) choice.disabled = blurred;
  if (lost && document.activeElement === document.body) (blurred ? byId("reveal") : byId("question")).focus();
}

function showEnd() {
  const open = steps.filter((step) => !isAnswered(step)).length;
  byId("end-title").textContent = open ? `${steps.length - open} of ${steps.length} done` : "Thank you!";
  byId("end-text").textContent = open
    ? `Your votes are kept in this browser under the code ${rater}. You can also save what you have so far.`
    : `All ${steps.length} choices are made. Save your votes and send the file to the people who asked you. Your code is ${rater}.`;
  byId("continue").textContent = open ? "Go on voting" : "Look at my choices again";
  show("end");
  byId("end-title").focus();
}

// ---- what a rater does

function vote(side) {
  const step = steps[position];
  if (locked || choices[side].disabled) return;
  locked = true;
  keepVote(step, step.pair.images[side]);
  choices.forEach((choice, other) => choice.setAttribute("aria-pressed", String(other === side)));
  setTimeout(() => {
    locked = false;
    if (byId("vote").hidden) return;
    next();
  }, FEEDBACK_MS);
}

function move(target) {
  if (locked) return;
  position = Math.max(0, target);
  if (position < steps.length) showStep();
  else showEnd();
}

function next() {
  if (steps.every(isAnswered) && position === steps.length - 1) showEnd();
  else if (position === steps.length - 1) goOn();
  else move(position + 1);
}

function review() {
  if (!steps.every(isAnswered)) return goOn();
  show("vote");
  move(0);
  byId("question").focus();
}

function leave() {
  keep(placeOf("rater"), ""); // whoever opens the page next must not vote under this code
  showStart();
}

function reveal() {
  revealed = steps[position].pair.pair;
  showBlur(false);
}

const KEYS = {
  ArrowLeft: () => vote(0),
  ArrowRight: () => vote(1),
  1: () => vote(0),
  2: () => vote(1),
  Backspace: () => move(position - 1),
};

function pressed(event) {
  const action = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  if (!action || byId("vote").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  action();
}

// ---- export

function exported() {
  const { name, fingerprint } = study;
  return steps.filter(isAnswered).map((step) => {
    const [left, right] = step.pair.images;
    return { study: name, fingerprint, rater, pair: step.pair.pair, question: step.question.name, left, right, chosen: votes.get(keyOf(step)) };
  });
}

const asCsv = () => [COLUMNS, ...exported().map((vote) => COLUMNS.map((column) => vote[column]))].map((row) => `${row.join(",")}\n`).join("");
const asJson = () => `[\n${exported().map((vote) => JSON.stringify(vote)).join(",\n")}\n]\n`;

function save(text, suffix, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${study.name}-${rater}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// ---- start

for (const choice of choices) {
  const image = choice.querySelector("img");
  image.addEventListener("load", () => {
    image.classList.toggle("small", image.naturalWidth < 256);
    byId("pair").style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  });
  image.addEventListener("dragstart", (event) => event.preventDefault());
  choice.addEventListener("click", () => vote(choices.indexOf(choice)));
}
byId("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(byId("rater").value.trim().toLowerCase());
});
byId("back").addEventListener("click", () => move(position - 1));
byId("next").addEventListener("click", next);
byId("pause").addEventListener("click", showEnd);
byId("continue").addEventListener("click", review);
byId("leave").addEventListener("click", leave);
byId("reveal").addEventListener("click", reveal);
byId("save-csv").addEventListener("click", () => save(asCsv(), "csv", "text/csv"));
byId("save-json").addEventListener("click", () => save(asJson(), "json", "application/json"));
document.addEventListener("keydown", pressed);

const before = read(placeOf("rater"));
if (before) enter(before);
else showStart();

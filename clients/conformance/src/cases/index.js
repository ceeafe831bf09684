// All cases, in the order of the README.

import calm from "./calm.js";
import endings from "./endings.js";
import kills from "./kills.js";
import network from "./network.js";
import races from "./races.js";
import refusals from "./refusals.js";
import shared from "./shared.js";

/** Each has a `name`, says `what` happens and what the client `must` do, and a `run` that lets it happen. */
export const CASES = [...calm, ...network, ...refusals, ...endings, ...kills, ...races];

/** Only for clients of which several processes share what is stored. */
export const SHARED = shared;

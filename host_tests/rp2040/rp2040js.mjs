// SPDX-License-Identifier: MIT
// The one place that knows where the set-up puts rp2040js (`make build/.node`).

export * from '../../build/node_modules/rp2040js/dist/esm/index.js';

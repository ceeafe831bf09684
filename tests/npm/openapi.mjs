// Says what Redocly finds wrong with an OpenAPI document, by its recommended rules and those about examples.
import { createConfig, lint } from "@redocly/openapi-core";

const config = await createConfig({
  extends: ["recommended"],
  rules: {
    "no-invalid-media-type-examples": "error",
    "no-invalid-parameter-examples": "error",
    "no-invalid-schema-examples": "error",
    // Some calls cannot fail by a fault of the caller, and one answer is for what is no call.
    "operation-4xx-response": "off",
    "no-unused-components": "off",
  },
});
const problems = await lint({ ref: process.argv[2], config });
for (const { ruleId, severity, message, location } of problems) {
  console.log(`${severity} ${ruleId} ${location[0]?.pointer}: ${message}`);
}
process.exit(problems.length === 0 ? 0 : 1);

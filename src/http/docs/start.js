// Shows the document of this service, and asks nobody else: by default the viewer has other documents checked elsewhere.
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
});

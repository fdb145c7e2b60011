"use strict";

// A file of its own, since the page's Content-Security-Policy allows no script within the page.
window.ui = SwaggerUIBundle({
  // Absolute, because requests that are tried out are made relative to it.
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  // The badge of a validator on the internet.
  validatorUrl: null,
});

"""Would answer, if its release command did not fail."""

import os
from http.server import HTTPServer, SimpleHTTPRequestHandler

HTTPServer(("", int(os.environ["PORT"])), SimpleHTTPRequestHandler).serve_forever()

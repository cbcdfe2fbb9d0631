//! Public HTTP traffic: one listener for the platform and its tools by host name.

"""The language-server door: what the session knows, for any editor (LSP 3.17).

`program` is the command line, `transport` moves bytes, `server` speaks the protocol, `documents`
relates texts and cells, `knowledge` answers: from files alone, from a kernel elsewhere, or from the
session of this very process.
"""

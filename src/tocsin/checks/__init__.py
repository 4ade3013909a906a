"""The contracts of all parts as code, public: run them over your own part with `tocsin check-part`."""

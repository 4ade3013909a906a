"""Scripts that go into packages for other systems; each runs where no Tocsin is."""

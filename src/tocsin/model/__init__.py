"""The unit that is trained, judged, stored and deployed: schema to threshold in one piece."""

"""The courtyard: a small walled place, drawn exactly from any camera, in four moods."""

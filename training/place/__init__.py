"""The courtyard: a small walled scene, rendered exactly from any camera in four moods."""

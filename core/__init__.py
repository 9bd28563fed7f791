"""The ground floor: recipes, parts, schedules, types and cameras. It imports nothing else of this project."""

// Settings and surroundings: first what is not as usual, the rest to unfold.

function showSettings(data) {
  const place = section("settings");
  const names = data.runs.map((_, run) => (data.runs.length > 1 ? runName(data, run) : "Value"));
  const changed = data.settings.filter((row) => row.recipe);
  const recipes = data.settings.find((row) => row.name === "recipe")?.values ?? [];
  const rows = changed.map(({ name, values, recipe }) => [name, ...values, [...new Set(recipe)].join(" / ")]);
  place.append(rows.length
    ? table(`What differs from the recipe (${[...new Set(recipes)].join(" / ")})`, ["Setting", ...names, "Recipe"], rows, "text")
    : note(`Every setting is that of the recipe (${[...new Set(recipes)].join(" / ")}).`));
  const between = data.settings.filter((row) => row.differs);
  if (data.runs.length > 1) place.append(between.length ? table("What differs between the runs", ["Setting", ...names], between.map(asCells), "text") : note("The runs have the same settings."));
  place.append(
    unfolding("All settings", table("All settings", ["Setting", ...names], data.settings.map(asCells), "text")),
    unfolding("Versions and hardware", data.environment.length
      ? table("Where the runs were trained", ["Name", ...names], data.environment.map(asCells), "text")
      : note("These folders do not say where the runs were trained.")));
}

const asCells = ({ name, values }) => [name, ...values];
const unfolding = (title, content) => element("details", {}, element("summary", { text: title }), content);

// Start screen: the samples of the package, or an image of one's own.

class StartScreen {
  // Calls onChoose(bytes, prompt) with the bytes of an image file.
  constructor(pageData, token, onChoose) {
    this.onChoose = onChoose;
    const model = pageData.model, samples = pageData.scenes || [];
    element("start-note").textContent = samples.length
      ? "Pick a first image, or bring one. The built-in model has learned this one place; other images lead to blurred ones."
      : "Pick the first image. The video continues from it.";
    if (model) element("licence").textContent = ` · model ${[model.id, model.licence].filter(Boolean).join(", ")}`;
    for (const sample of samples) {
      const card = document.createElement("button"), picture = document.createElement("img"), name = document.createElement("span");
      card.className = "card";
      picture.src = sample.picture;
      picture.alt = "";
      name.textContent = sample.label;
      card.append(picture, name);
      card.addEventListener("click", async () => {
        try {
          const answer = await fetch(`${sample.path}?token=${encodeURIComponent(token)}`);
          if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
          await this.choose(await answer.blob(), sample.prompt);
        } catch (error) {
          this.fail(`this sample cannot be loaded: ${error.message}`);
        }
      });
      element("cards").append(card);
    }
    element("image-file").addEventListener("change", (event) => this.choose(event.target.files[0]));
    element("start-close").addEventListener("click", () => this.close());
    this.listenToDrop();
  }

  listenToDrop() {
    const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    addEventListener("dragover", (event) => { if (files(event)) { event.preventDefault(); element("drop").classList.add("over"); } });
    addEventListener("dragleave", () => element("drop").classList.remove("over"));
    addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      element("drop").classList.remove("over");
      this.choose(event.dataTransfer.files[0]);
    });
  }

  async choose(file, prompt) {
    if (!file) return;
    element("image-file").value = "";
    this.close();
    this.onChoose(new Uint8Array(await file.arrayBuffer()), prompt);
  }

  fail(text) {
    element("start-note").textContent = text;
  }

  open(closable) {
    element("start").hidden = false;
    element("start-close").hidden = !closable;
    (document.querySelector(".card") || element("image-file")).focus();
  }

  close() {
    element("start").hidden = true;
    element("screen").focus();
  }
}

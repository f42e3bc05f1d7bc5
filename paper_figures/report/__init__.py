"""Tables, sentences, the HTML report and the docs' results."""

//! Calibration of int8: a forward pass of a few texts and images, by which linear layers distribute their steps over the inputs.

use crate::batch::Batch;
use crate::config::Kind;
use crate::error::Result;
use crate::images::{Image, ImageProcessor, Pixels, drawn};
use crate::network::Network;
use crate::tokenize::{Input, Tokenizer, Tokens};

/// Maximum number of tokens of a text.
const MAX_TOKENS: usize = 128;

/// Texts of several kinds and languages.
const TEXTS: [&str; 40] = [
    "The weather is lovely today.",
    "how long do hard boiled eggs keep",
    "What is the capital of Australia?",
    "best running shoes for flat feet",
    "The committee rejected the proposal by a narrow majority, and nobody was surprised.",
    "A man is playing a flute while children dance around him.",
    "symptoms of vitamin d deficiency in adults",
    "Shares fell 3.2% on Tuesday after the company cut its forecast for 2024.",
    "She opened the letter, read the first line, and sat down without a word.",
    "Photosynthesis converts carbon dioxide and water into glucose and oxygen, using the energy of light.",
    "def read(path):\n    with open(path) as file:\n        return json.load(file)",
    "SELECT name, COUNT(*) FROM orders WHERE total > 100 GROUP BY name;",
    "I would not recommend this hotel: the room was dirty, the staff rude, and breakfast cold.",
    "Great product, works exactly as described!!! 5 stars",
    "Der Zug nach München fährt heute von Gleis sieben ab.",
    "Où se trouve la pharmacie la plus proche ?",
    "El gato duerme en el sofá toda la tarde.",
    "今日はとても良い天気ですね。",
    "机器学习是人工智能的一个分支。",
    "Москва является столицей России.",
    "القاهرة هي أكبر مدينة في مصر.",
    "भारत की राजधानी नई दिल्ली है।",
    "The mitochondrion is the powerhouse of the cell.",
    "Quarterly revenue rose to $4.7 billion, up from $4.1 billion a year earlier, driven by cloud services.",
    "Two dogs run through the snow near a frozen lake.",
    "What's the difference between TCP and UDP?",
    "Error: cannot find module 'express' (required by ./server.js:12)",
    "Patients with type 2 diabetes were randomly assigned to receive metformin or placebo for 24 weeks.",
    "The treaty, signed in 1648, ended the Thirty Years' War and redrew the map of Europe.",
    "Add two cups of flour, a pinch of salt and the melted butter; stir until smooth, then bake for 35 minutes at 180 °C.",
    "if (x < 0) { return -x; } // absolute value",
    "https://example.org/docs/install?version=3.1#linux",
    "Is there life on Mars?",
    "The court held that the contract was void, because neither party had the authority to sign it on behalf of the firm.",
    "lol that was the funniest thing i've seen all week 😂",
    "Born in a small village by the sea, she moved to the capital at seventeen, studied medicine against her family's \
     wishes, and became the first woman to lead the country's largest hospital. Her memoirs, published a year after she \
     retired, describe the long nights of the war, the shortage of every drug, and the colleagues who shared their bread.",
    "In statistics, the median is the value that separates the higher half of a sample from the lower half. Unlike the mean, \
     it is not skewed by a few very large or very small values, so it describes incomes or house prices better. For an even \
     number of observations it is usually defined as the mean of the two middle ones.",
    "The engine coughed twice, caught, and settled into a steady hum. Ahead of them the road climbed in long curves towards \
     the pass, still white at the top although it was June; behind them lay the valley, the river, and everything that they \
     had promised each other never to speak of again.",
    "To reset your password, open the settings page, choose Security, and click on \"Forgot password\". We will send you a \
     link that is valid for 24 hours. If you do not receive it, check your spam folder or contact support@example.com.",
    "ok",
];

/// Calibrates a network that has something to choose.
///
/// # Errors
/// The errors of the forward pass, and [`Error::Memory`](crate::Error::Memory).
pub(super) fn calibrate(
    kind: Kind,
    tokenizer: &Tokenizer,
    images: Option<&ImageProcessor>,
    network: &dyn Network,
) -> Result<()> {
    let limits = network.limits();
    let max = [tokenizer.limit(), limits.max_tokens].into_iter().flatten().fold(MAX_TOKENS, usize::min);
    let input = |i: usize| match kind {
        Kind::Reranker => Input::Pair(TEXTS[i], TEXTS[(i + 1) % TEXTS.len()]),
        _ => Input::Text(TEXTS[i]),
    };
    let known = |tokens: &Tokens| !tokens.ids.is_empty() && limits.check_ids(tokens).is_ok();
    // A tokenizer that can't read one of these texts may well read its users'.
    let encoded = (0..TEXTS.len()).filter_map(|i| tokenizer.encode(input(i), "", max).ok());
    let mut sequences: Vec<_> = encoded.filter(known).collect();
    sequences.extend(images.map(calibrating_images).transpose()?.into_iter().flatten());
    if sequences.is_empty() {
        return Ok(());
    }
    network.calibrate(&Batch::new(&sequences))
}

/// Returns drawn images of the size that the model reads.
fn calibrating_images(processor: &ImageProcessor) -> Result<Vec<Tokens>> {
    let side = processor.side();
    let read = |pixels: Vec<u8>| processor.prepare(Image::Pixels(Pixels::new(&pixels, side, side, 3)?));
    drawn(side).map(read).collect()
}

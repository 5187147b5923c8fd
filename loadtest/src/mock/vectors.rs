//! Embeddings: a vector of length one for each input, always the same for the same input, as
//! numbers or as base64 of little-endian floats. Pure.

use super::asked::Asked;
use super::wire::{Answer, put};
use crate::dice::Dice;
use crate::websocket;

pub fn write(asked: &Asked, answer: &Answer, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"object":"list","data":["#);
    for (n, &seed) in asked.inputs.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        put(out, format_args!(r#"{comma}{{"object":"embedding","index":{n},"embedding":"#));
        let vector = vector(seed, asked.dimensions);
        if asked.base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            put(out, format_args!(r#""{}""#, websocket::base64(&bytes)));
        } else {
            for (at, x) in vector.iter().enumerate() {
                put(out, format_args!("{}{x:?}", if at == 0 { '[' } else { ',' }));
            }
            out.push(b']');
        }
        out.push(b'}');
    }
    put(out, format_args!(r#"],"model":{}"#, answer.model));
    if answer.tells_usage {
        let input = answer.usage.input;
        put(out, format_args!(r#","usage":{{"prompt_tokens":{input},"total_tokens":{input}}}"#));
    }
    out.push(b'}');
}

#[expect(clippy::cast_possible_truncation, reason = "embeddings are 32-bit floats")]
fn vector(seed: u64, dimensions: usize) -> Vec<f32> {
    let mut dice = Dice::new(seed);
    let raw: Vec<f64> = (0..dimensions).map(|_| dice.unit() - 0.5).collect();
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    raw.iter().map(|x| (x / length) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_length_one_and_are_their_inputs_own() {
        let one = vector(1, 1536);
        let length: f32 = one.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
        assert_eq!(one, vector(1, 1536));
        assert_ne!(one, vector(2, 1536));
    }
}

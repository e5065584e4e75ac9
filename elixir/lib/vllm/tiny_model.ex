defmodule Vllm.TinyModel do
  @moduledoc """
  Makes tiny Llama models on the spot, to try the bridge or test an application on real vLLM.

  Nothing is downloaded, and a CPU runs them: two layers, a tokenizer that knows every byte. They
  are made once, in under a second, by `python -m python_worker.testing.tiny_model`.

  | kind | what it is |
  | --- | --- |
  | `:scripted` | answers greedily with known words: a prompt that ends in `Hello` is continued with ` from a scripted Llama, token by token` |
  | `:random` | random weights: generates bytes, and embeds with `runner: "pooling"` |
  | `:classify` | random weights with three classes |

      {:ok, model} = Vllm.TinyModel.make(:scripted)
      {:ok, engine} = Vllm.AsyncLLM.from_engine_args(model: model, dtype: "float32")

  Use `dtype: "float32"`: the scripted model's words are exact only there.
  """

  alias Vllm.{Environment, Error}

  @kinds [:scripted, :random, :classify]

  @type kind :: :scripted | :random | :classify

  @doc """
  Makes a model unless it is there, and returns its folder.

  `folder` is where to make it; the default is below `Vllm.Environment.cache_dir/0`.
  """
  @spec make(kind(), Path.t() | nil) :: {:ok, Path.t()} | {:error, Error.t()}
  def make(kind, folder \\ nil) when kind in @kinds do
    folder = folder || Path.join([Environment.cache_dir(), "models", to_string(kind)])

    with {:ok, python} <- Environment.python(),
         {:ok, worker_dir} <- Environment.worker_dir() do
      arguments = ["-m", "python_worker.testing.tiny_model", folder, "--kind", to_string(kind)]

      case System.cmd(python, arguments, cd: worker_dir, stderr_to_stdout: true) do
        {_said, 0} -> {:ok, folder}
        {said, _status} -> {:error, Error.new(:python, "the model was not made: #{said}")}
      end
    end
  end
end

defmodule Vllm.MelleaCase do
  @moduledoc false
  # A worker with the fake engine, and a backend of Mellea on an engine of each test. What the engine
  # says, a test tells it.

  use ExUnit.CaseTemplate

  alias Vllm.Mellea
  alias Vllm.Mellea.ChatContext

  using options do
    quote do
      use Vllm.BridgeCase, instance: unquote(options)
      import Vllm.MelleaCase

      setup %{engine: engine} do
        {:ok, backend} = Vllm.Mellea.Backends.LocalVLLMBackend.new("a/model", engine: engine)
        %{backend: backend}
      end
    end
  end

  def session(backend, opts \\ [context: %ChatContext{}]) do
    {:ok, session} = Mellea.start_session(backend, opts)
    session
  end

  # The engine says these, one after the other.
  def say(engine, texts),
    do: for(text <- texts, do: Vllm.Test.reply(engine, :any, [text], times: 1))

  def hang(engine), do: Vllm.Test.hang_after(engine, 0)
  def running?(engine), do: Vllm.Test.live(engine) > 0
  def prompt(request), do: request.prompt["prompt"]
end

defmodule Vllm.Core.Codec.StreamMark do
  @moduledoc false
  # Takes the place of an enumerable in the arguments of a call. The worker turns it into an async
  # generator and asks for the elements one by one (see Vllm.Core.Call.Producer).

  defstruct []

  @type t :: %__MODULE__{}
end

defmodule Vllm.Core.Codec.StreamMark do
  @moduledoc false
  # Stands in the arguments of a call for the one that is an enumerable. The worker makes an async
  # generator of it, and asks for the elements one by one: see Vllm.Core.Call.Producer.

  defstruct []

  @type t :: %__MODULE__{}
end
